import type { Database, Session } from './database.ts';
import type { StoredMessage } from './model.ts';

/** Bodies up to this size come with their row; a whole read of larger ones could not be held. */
const SMALL_BODY_BYTES = 4 * 1024;

/** Which messages to read: seqs from `fromSeq` to `toSeq`, both inclusive. */
export interface Range {
  readonly fromSeq: number;
  readonly toSeq: number;
  readonly newestFirst: boolean;
}

/**
 * The first messages of `range` in its order: all of them, or as many as fit in `maxBytes` of
 * bodies, but at least one where there is any. Holds little more than `maxBytes` whatever the
 * messages' sizes, and nothing after it returns.
 */
export function read(
  database: Database,
  conversationId: Buffer,
  range: Range,
  maxBytes: number,
  signal: AbortSignal,
): Promise<StoredMessage[]> {
  return database.run((session) => readIn(session, conversationId, range, maxBytes), signal);
}

async function readIn(
  session: Session,
  conversationId: Buffer,
  { fromSeq, toSeq, newestFirst }: Range,
  maxBytes: number,
): Promise<StoredMessage[]> {
  const rows = await session.rows<MessageRow>(
    `SELECT ${MESSAGE_COLUMNS} FROM message WHERE conversation_id = ? AND seq BETWEEN ? AND ?
     ORDER BY seq ${newestFirst ? 'DESC' : 'ASC'}`,
    [conversationId, fromSeq, toSeq],
  );
  return (await readFitting(session, conversationId, rows, maxBytes)).messages;
}

/** What was read of a list of messages. */
export interface ReadSeqs {
  readonly messages: StoredMessage[];
  /** The part of the list that is still to be read. */
  readonly left: readonly number[];
}

/**
 * The messages of `seqs`, in their order, without those that are gone; within `maxBytes` as `read`.
 * Of distinct seqs; at most some hundred to a thousand at a time.
 */
export function readSeqs(
  database: Database,
  conversationId: Buffer,
  seqs: readonly number[],
  maxBytes: number,
  signal: AbortSignal,
): Promise<ReadSeqs> {
  return database.run((session) => readSeqsIn(session, conversationId, seqs, maxBytes), signal);
}

async function readSeqsIn(
  session: Session,
  conversationId: Buffer,
  seqs: readonly number[],
  maxBytes: number,
): Promise<ReadSeqs> {
  if (seqs.length === 0) return { messages: [], left: [] };
  const found = await session.rows<MessageRow>(
    `SELECT ${MESSAGE_COLUMNS} FROM message WHERE conversation_id = ? AND seq IN (?)`,
    [conversationId, seqs],
  );
  const bySeq = new Map(found.map((row) => [row[0], row]));
  const rows = seqs.map((seq) => bySeq.get(seq)).filter((row) => row !== undefined);
  const { messages, left } = await readFitting(session, conversationId, rows, maxBytes);
  return { messages, left: left.map(([seq]) => seq) };
}

/** Columns of a `MessageRow`. */
export const MESSAGE_COLUMNS = `message.seq, message.edited_at_ms, message.deleted_at_ms,
  message.revision, LENGTH(message.body),
  CASE WHEN LENGTH(message.body) > ${SMALL_BODY_BYTES} THEN NULL ELSE message.body END`;

/** A message; its body is absent where it is large, and has to be read by itself. */
export type MessageRow = [number, number, number, number, number, Buffer | null];

/** How many of the first rows fit in `maxBytes` of bodies; at least one. */
export function countThatFits(rows: readonly MessageRow[], maxBytes: number): number {
  let bytes = 0;
  const past = rows.findIndex((row) => {
    bytes += row[4];
    return bytes > maxBytes;
  });
  return past < 0 ? rows.length : Math.max(past, 1);
}

/**
 * The messages of the first of `rows`, within `maxBytes` as `read`, and the rows that are left. The
 * large ones are read again: what stands beside a body must be of the same moment.
 */
export async function readFitting(
  session: Session,
  conversationId: Buffer,
  rows: readonly MessageRow[],
  maxBytes: number,
): Promise<{ messages: StoredMessage[]; left: readonly MessageRow[] }> {
  const count = countThatFits(rows, maxBytes);
  const fitting = rows.slice(0, count);
  const large = fitting.filter((row) => row[5] === null).map((row) => row[0]);
  const whole = await readWhole(session, conversationId, large);
  const messages = fitting.flatMap(([seq, editedAtMs, deletedAtMs, revision, , body]) => {
    if (body) return { seq, editedAtMs, deletedAtMs, revision, body };
    return whole.get(seq) ?? []; // gone meanwhile
  });
  return { messages, left: rows.slice(count) };
}

/** Messages by seq, whatever their size. */
export async function readWhole(
  session: Session,
  conversationId: Buffer,
  seqs: readonly number[],
): Promise<Map<number, StoredMessage>> {
  if (seqs.length === 0) return new Map();
  const rows = await session.rows<[number, number, number, number, Buffer]>(
    `SELECT seq, edited_at_ms, deleted_at_ms, revision, body
     FROM message WHERE conversation_id = ? AND seq IN (?)`,
    [conversationId, seqs],
  );
  return new Map(
    rows.map(([seq, editedAtMs, deletedAtMs, revision, body]) => [
      seq,
      { seq, editedAtMs, deletedAtMs, revision, body },
    ]),
  );
}
