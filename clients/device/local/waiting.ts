import { create } from '@bufbuild/protobuf';
import { type BackscrollError, isReason } from '../../errors.ts';
import { MessageSchema } from '../../gen/backscroll/history/v1/message_pb.ts';
import { decoded } from './decoded.ts';
import type { LocalStore } from './local-store.ts';
import { type ConversationName, LocalMessage, type MessageRow, rowOf } from './message.ts';

/** A message of the outbox as it stands in the table, which explains the columns. */
export interface OutboxRow {
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

/** As an app is handed it. */
export function waitingMessage(
  conversation: ConversationName,
  { row, failure }: Waiting,
  owner: string,
): LocalMessage {
  const message = { ...row, sender: owner, seq: undefined };
  const status = failure === null ? 'outbox' : 'failed';
  return new LocalMessage(conversation, message, status, 'database', failure ?? undefined);
}

/** What waits, or was refused, in one conversation, behind the message `after`. */
export function readWaiting(
  store: LocalStore,
  conversationId: number,
  options: {
    readonly after: number | undefined;
    readonly falling: boolean;
    readonly count: number;
    readonly nowMs: number;
  },
): Waiting[] {
  const { after, falling, count, nowMs } = options;
  const rows = store.sqlite.all<OutboxRow>(
    `SELECT * FROM outbox WHERE conversation_id = ? AND id ${falling ? '<' : '>'} ?
       AND (expires_at_ms = 0 OR expires_at_ms > ?)
     ORDER BY id ${falling ? 'DESC' : 'ASC'} LIMIT ?`,
    ...[conversationId, after ?? (falling ? Number.MAX_SAFE_INTEGER : 0), nowMs, count],
  );
  return rows.map((row) => waitingOf(row, store.owner));
}

/** One that can't be read is handed over all the same, as one that failed: so it can be discarded. */
function waitingOf(
  { id, message_id, created_at_ms, body, failure }: OutboxRow,
  owner: string,
): Waiting {
  try {
    return { id, failure, row: rowOf(decoded(MessageSchema, body), owner) };
  } catch (error) {
    if (!isReason(error, 'DATABASE_DAMAGED')) throw error;
    const left = create(MessageSchema, { id: message_id, sentAtMs: BigInt(created_at_ms) });
    return { id, failure: failure ?? failureOf(error), row: rowOf(left, owner) };
  }
}

/** Why a message was refused, as it stands in the outbox. */
export function failureOf({ reason, message }: BackscrollError): string {
  return `${reason}: ${message}`;
}
