import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { MessageSchema } from '../gen/backscroll/history/v1/message_pb.ts';
import type { MessageInit } from '../history-requests.ts';
import { uuidv7 } from '../uuid.ts';
import type { LocalStore } from './local-store.ts';
import { type ConversationName, type MessageRow, rowOf } from './message.ts';

interface OutboxRow {
  readonly id: number;
  readonly conversation_id: number;
  readonly message_id: string;
  readonly created_at_ms: number;
  readonly body: Uint8Array;
  readonly failure: string | null;
}

/** A message that waits to be sent, or was refused. */
export interface Waiting {
  /** Rises from message to message. */
  readonly id: number;
  readonly row: MessageRow;
  /** Why the service refused it; null where it waits. */
  readonly failure: string | null;
}

/** What the user said and the service does not have yet. */
export class Outbox {
  readonly #store: LocalStore;

  constructor(store: LocalStore) {
    this.#store = store;
  }

  /** Puts a message in; gives its id. It is durable when this returns. */
  add(name: ConversationName, init: MessageInit, nowMs: number): string {
    const message = create(MessageSchema, {
      ...init,
      id: init.id || uuidv7(nowMs),
      sender: this.#store.owner,
      sentAtMs: init.sentAtMs || BigInt(nowMs),
    });
    return this.#store.write(() => {
      const { id } = this.#store.ensureConversation(name);
      this.#store.sqlite.run(
        'INSERT INTO outbox (conversation_id, message_id, created_at_ms, body) VALUES (?, ?, ?, ?)',
        ...[id, message.id, nowMs, toBinary(MessageSchema, message)],
      );
      return message.id;
    });
  }

  /** What waits, or was refused, in one conversation, behind the message `after`. */
  messages(
    conversationId: number,
    options: {
      readonly after: number | undefined;
      readonly falling: boolean;
      readonly count: number;
    },
  ): Waiting[] {
    const { after, falling, count } = options;
    const rows = this.#store.sqlite.all<OutboxRow>(
      `SELECT * FROM outbox WHERE conversation_id = ? AND id ${falling ? '<' : '>'} ?
       ORDER BY id ${falling ? 'DESC' : 'ASC'} LIMIT ?`,
      ...[conversationId, after ?? (falling ? Number.MAX_SAFE_INTEGER : 0), count],
    );
    return rows.map(({ id, body, failure }) => ({
      ...{ id, failure },
      row: rowOf(fromBinary(MessageSchema, body), this.#store.owner),
    }));
  }
}
