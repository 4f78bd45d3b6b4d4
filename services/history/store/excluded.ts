import type { Session } from './database.ts';
import type { Closed } from './intervals.ts';

/** Those seqs of `runs` that the user hid. For few runs, of any length. */
export async function hiddenWithin(
  session: Session,
  conversationId: Buffer,
  user: string,
  runs: readonly Closed[],
): Promise<number[]> {
  const name = Buffer.from(user);
  const rows = await session.rowsOfEach<[number]>(
    'SELECT seq FROM hidden WHERE conversation_id = ? AND user_name = ? AND seq BETWEEN ? AND ?',
    runs.map(({ from, to }) => [conversationId, name, from, to]),
  );
  return rows.flat();
}

/** Those seqs of `runs` whose messages have expired by `nowMs`. For few runs, of any length. */
export async function expiredWithin(
  session: Session,
  conversationId: Buffer,
  runs: readonly Closed[],
  nowMs: number,
): Promise<number[]> {
  const rows = await session.rowsOfEach<[number]>(
    `SELECT seq FROM expiry
     WHERE conversation_id = ? AND seq BETWEEN ? AND ? AND expires_at_ms <= ?`,
    runs.map(({ from, to }) => [conversationId, from, to, nowMs]),
  );
  return rows.flat();
}

/** Those of `seqs` that the user hid. */
export async function hiddenOf(
  session: Session,
  conversationId: Buffer,
  user: string,
  seqs: readonly number[],
): Promise<Set<number>> {
  if (seqs.length === 0) return new Set();
  const rows = await session.rows<[number]>(
    'SELECT seq FROM hidden WHERE conversation_id = ? AND user_name = ? AND seq IN (?)',
    [conversationId, Buffer.from(user), seqs],
  );
  return new Set(rows.map(([seq]) => seq));
}

/** Those of `seqs` whose messages have expired by `nowMs`. */
export async function expiredOf(
  session: Session,
  conversationId: Buffer,
  seqs: readonly number[],
  nowMs: number,
): Promise<Set<number>> {
  if (seqs.length === 0) return new Set();
  const rows = await session.rows<[number]>(
    'SELECT seq FROM expiry WHERE conversation_id = ? AND seq IN (?) AND expires_at_ms <= ?',
    [conversationId, seqs, nowMs],
  );
  return new Set(rows.map(([seq]) => seq));
}

/** When those of `seqs` expire that do, in milliseconds since 1970. */
export async function expiriesOf(
  session: Session,
  conversationId: Buffer,
  seqs: readonly number[],
): Promise<Map<number, bigint>> {
  if (seqs.length === 0) return new Map();
  const rows = await session.rows<[number, string]>(
    `SELECT seq, CAST(expires_at_ms AS CHAR) FROM expiry
     WHERE conversation_id = ? AND seq IN (?)`,
    [conversationId, seqs],
  );
  return new Map(rows.map(([seq, expiresAtMs]) => [seq, BigInt(expiresAtMs)]));
}
