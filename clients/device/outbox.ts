import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { AppendedMessage } from '../gen/backscroll/history/v1/history_pb.ts';
import { type Message, MessageSchema } from '../gen/backscroll/history/v1/message_pb.ts';
import type { MessageInit } from '../history-requests.ts';
import { uuidv7 } from '../uuid.ts';
import type { ConversationRow, LocalStore } from './local-store.ts';
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

/** The next messages of one conversation, in order, as many as one call takes. */
export interface Batch {
  readonly conversation: ConversationRow;
  /** Rows of the outbox. */
  readonly ids: readonly number[];
  readonly messages: readonly Message[];
}

/** Messages of one call, at most: what a lost answer sends once more. */
const BATCH_MESSAGES = 100;

/** Bytes of one call, at most: what the service takes. */
const BATCH_BYTES = 900 * 1024;

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

  /** What is to be sent next; undefined where nothing waits. */
  next(): Batch | undefined {
    const { sqlite } = this.#store;
    const first = sqlite.get<OutboxRow>(
      'SELECT * FROM outbox WHERE failure IS NULL ORDER BY id LIMIT 1',
    );
    if (!first) return undefined;
    const sizes = sqlite.all<{ id: number; bytes: number }>(
      `SELECT id, length(body) AS bytes FROM outbox
       WHERE conversation_id = ? AND failure IS NULL ORDER BY id LIMIT ?`,
      ...[first.conversation_id, BATCH_MESSAGES],
    );
    const rows = sqlite.all<OutboxRow>(
      `SELECT * FROM outbox
       WHERE conversation_id = ? AND failure IS NULL AND id <= ? ORDER BY id`,
      ...[first.conversation_id, lastFitting(sizes)],
    );
    return {
      conversation: this.#store.conversationOf(first.conversation_id),
      ids: rows.map(({ id }) => id),
      messages: rows.map(({ body }) => fromBinary(MessageSchema, body)),
    };
  }

  /** Moves messages that the service has to the others. Gives those that this call moved. */
  sent({ conversation, ids, messages }: Batch, places: readonly AppendedMessage[]): MessageRow[] {
    return this.#store.write(() => {
      const rows = messages.map((message, index) => {
        const { seq, sentAtMs } = places[index]!;
        return rowOf({ ...message, seq, sentAtMs }, this.#store.owner);
      });
      const moved = rows.filter(
        (_, index) => this.#store.sqlite.run('DELETE FROM outbox WHERE id = ?', ids[index]!) > 0,
      );
      this.#store.putMessages(conversation.id, moved);
      for (const { seq } of moved) {
        this.#store.addKnown(conversation.id, '', { from: seq, to: seq });
      }
      return moved;
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

/** The last of the first rows that fit in one call together: at least the first. */
function lastFitting([first, ...others]: readonly { id: number; bytes: number }[]): number {
  let { id: last, bytes: total } = first!;
  for (const { id, bytes } of others) {
    total += bytes;
    if (total > BATCH_BYTES) break;
    last = id;
  }
  return last;
}
