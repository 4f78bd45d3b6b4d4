import type { Database } from './database.ts';
import type { Closed } from './intervals.ts';

/** Those seqs of `runs` that the user hid. */
export async function hiddenAmong(
  database: Database,
  conversationId: Buffer,
  user: string,
  runs: readonly Closed[],
  signal: AbortSignal,
): Promise<number[]> {
  const name = Buffer.from(user);
  const rows = await database.run(
    (session) =>
      session.rowsOfEach<[number]>(
        'SELECT seq FROM hidden WHERE conversation_id = ? AND user_name = ? AND seq BETWEEN ? AND ?',
        runs.map(({ from, to }) => [conversationId, name, from, to]),
      ),
    signal,
  );
  return rows.flat();
}

/** Those seqs of `runs` that have expired by `nowMs`. */
export async function expiredAmong(
  database: Database,
  conversationId: Buffer,
  nowMs: number,
  runs: readonly Closed[],
  signal: AbortSignal,
): Promise<number[]> {
  const rows = await database.run(
    (session) =>
      session.rowsOfEach<[number]>(
        `SELECT seq FROM expiry
         WHERE conversation_id = ? AND seq BETWEEN ? AND ? AND expires_at_ms <= ?`,
        runs.map(({ from, to }) => [conversationId, from, to, nowMs]),
      ),
    signal,
  );
  return rows.flat();
}
