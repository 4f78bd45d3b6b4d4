import type { Database } from './database.ts';

/** Which seqs to look for: of messages of exactly these kinds, from `fromSeq` to `toSeq`, both inclusive. */
export interface KindsRange {
  readonly kinds: number;
  readonly fromSeq: number;
  readonly toSeq: number;
}

/** Rows that one look for messages of the same kinds may read: few, so that statements stay prepared. */
const MATCH_ROWS = [128, 1_024, 4_096] as const;

/**
 * Rows with which a range is answered that has as many: `count`, or the nearest number above or below
 * it that the store knows. A range that comes back with fewer has no more.
 */
export function matchRows(count: number): number {
  return MATCH_ROWS.find((rows) => rows >= count) ?? 4_096;
}

/**
 * The first `rows` seqs of each range, from its lower or its upper end, as kinds and seq. With
 * `thread` of the messages in it alone. Reads an index, and no message.
 */
export function matchingSeqs(
  database: Database,
  conversationId: Buffer,
  thread: string,
  ranges: readonly KindsRange[],
  falling: boolean,
  rows: number,
  signal: AbortSignal,
): Promise<[kinds: number, seq: number][]> {
  const [select, key] =
    thread === ''
      ? [IN_MESSAGES, [conversationId]]
      : [IN_THREAD, [conversationId, Buffer.from(thread)]];
  const sql = `${select} AND kinds = ? AND seq BETWEEN ? AND ?
    ORDER BY seq ${falling ? 'DESC' : 'ASC'} LIMIT ${matchRows(rows)}`;
  const bindings = ranges.map(({ kinds, fromSeq, toSeq }) => [...key, kinds, fromSeq, toSeq]);
  return database.run((session) => session.rowsOfEach(sql, bindings), signal);
}

// The hint: where most messages match, MySQL would else read through the messages themselves.
const IN_MESSAGES = `SELECT /*+ INDEX(message message_by_kinds) */ kinds, seq FROM message
  WHERE conversation_id = ?`;

const IN_THREAD = 'SELECT kinds, seq FROM thread WHERE conversation_id = ? AND thread = ?';

/** Those of `seqs` whose messages are by `sender`. */
export async function sentBy(
  database: Database,
  conversationId: Buffer,
  sender: string,
  seqs: readonly number[],
  signal: AbortSignal,
): Promise<Set<number>> {
  const rows = await database.run(
    (session) =>
      session.rows<[number]>(
        'SELECT seq FROM message WHERE conversation_id = ? AND seq IN (?) AND sender = ?',
        [conversationId, seqs, Buffer.from(sender)],
      ),
    signal,
  );
  return new Set(rows.flat());
}
