import type { Database } from './database.ts';
import type { Closed } from './intervals.ts';
import { BLOCK_SEQS } from './tables.ts';

/** Where the message with this id stands. */
export async function seqOfId(
  database: Database,
  conversationId: Buffer,
  messageId: string,
  signal: AbortSignal,
): Promise<number | undefined> {
  const rows = await database.run(
    (session) =>
      session.rows<[number]>(
        'SELECT seq FROM message WHERE conversation_id = ? AND message_id = ?',
        [conversationId, Buffer.from(messageId)],
      ),
    signal,
  );
  return rows[0]?.[0];
}

/** Of the blocks `from` to `to`, those of which it is known that all in them was sent before `timeMs`. */
export async function blocksBefore(
  database: Database,
  conversationId: Buffer,
  { from, to }: Closed,
  timeMs: bigint,
  signal: AbortSignal,
): Promise<Set<number>> {
  const rows = await database.run(
    (session) =>
      session.rows<[number]>(
        `SELECT block FROM time_block
         WHERE conversation_id = ? AND block BETWEEN ? AND ? AND max_sent_at_ms < ?`,
        [conversationId, from, to, timeMs],
      ),
    signal,
  );
  return new Set(rows.flat());
}

/** The seqs of messages sent at `timeMs` or later, of runs of one block at most each, in their order. */
export async function sentSince(
  database: Database,
  conversationId: Buffer,
  runs: readonly Closed[],
  timeMs: bigint,
  signal: AbortSignal,
): Promise<number[]> {
  const rows = await database.run(
    (session) =>
      session.rowsOfEach<[number]>(
        `SELECT seq FROM message
         WHERE conversation_id = ? AND seq BETWEEN ? AND ? AND sent_at_ms >= ?
         ORDER BY seq ASC LIMIT ${BLOCK_SEQS}`,
        runs.map(({ from, to }) => [conversationId, from, to, timeMs]),
      ),
    signal,
  );
  return rows.flat();
}
