import { SWEPT_AT_ONCE } from '../limits.ts';
import type { Database, Session } from './database.ts';
import { expiredWithin } from './excluded.ts';
import type { Closed } from './intervals.ts';
import { keyOf } from './model.ts';
import { BLOCK_SEQS, EXPIRY, HIDDEN, MESSAGE, QUIET, THREAD } from './tables.ts';

/** What decides whether a message stays. */
export interface Aged {
  readonly sentAtMs: bigint;
  readonly expired: boolean;
}

/** The oldest message of a conversation. */
export interface Bottom extends Aged {
  readonly conversationId: Buffer;
  /** The conversation's own retention in seconds; 0 for none. */
  readonly retentionS: number;
}

/** Some of all conversations. */
export interface Bottoms {
  /** Of those that something may have to be removed from. */
  readonly bottoms: readonly Bottom[];
  /** Behind which conversation to go on; absent at the end. */
  readonly next?: Buffer;
}

/**
 * Looks at the next `SWEPT_AT_ONCE` conversations behind one, in the order of their ids. `all`: also
 * at the messages of those that have no retention of their own and nothing that expires.
 */
export function readBottoms(
  database: Database,
  behind: Buffer,
  all: boolean,
  nowMs: number,
): Promise<Bottoms> {
  return database.run(async (session) => {
    const rows = await session.rows<[Buffer, number, number, number]>(
      `SELECT conversation_id, floor_seq, retention_s, expiring FROM conversation
       WHERE conversation_id > ? ORDER BY conversation_id LIMIT ${SWEPT_AT_ONCE}`,
      [behind],
    );
    const asked = rows.filter(([, , retentionS, expiring]) => all || retentionS + expiring > 0);
    const oldest = await session.rowsOfEach<[Buffer, string]>(
      `SELECT conversation_id, CAST(sent_at_ms AS CHAR) FROM message
       WHERE conversation_id = ? AND seq = ?`,
      asked.map(([id, floorSeq]) => [id, floorSeq]),
    );
    const expired = await session.rowsOfEach<[Buffer]>(
      `SELECT conversation_id FROM expiry
       WHERE conversation_id = ? AND seq = ? AND expires_at_ms <= ?`,
      asked.map(([id, floorSeq]) => [id, floorSeq, nowMs]),
    );
    const retentions = new Map(asked.map(([id, , retentionS]) => [keyOf(id), retentionS]));
    const gone = new Set(expired.map(([id]) => keyOf(id)));
    const bottoms = oldest.map(([conversationId, sentAtMs]) => ({
      conversationId,
      retentionS: retentions.get(keyOf(conversationId))!,
      sentAtMs: BigInt(sentAtMs),
      expired: gone.has(keyOf(conversationId)),
    }));
    const next = rows[SWEPT_AT_ONCE - 1]?.[0];
    return { bottoms, ...(next && { next }) };
  });
}

/** The first `SWEPT_AT_ONCE` messages of a conversation, which begin at its floor. */
export async function readOldest(
  session: Session,
  conversationId: Buffer,
  floorSeq: number,
  nowMs: number,
): Promise<Aged[]> {
  const range = { from: floorSeq, to: floorSeq + SWEPT_AT_ONCE - 1 };
  const rows = await session.rows<[number, string]>(
    `SELECT seq, CAST(sent_at_ms AS CHAR) FROM message
     WHERE conversation_id = ? AND seq BETWEEN ? AND ? ORDER BY seq`,
    [conversationId, range.from, range.to],
  );
  const expired = new Set(await expiredWithin(session, conversationId, [range], nowMs));
  return rows.map(([seq, sentAtMs]) => ({ sentAtMs: BigInt(sentAtMs), expired: expired.has(seq) }));
}

/**
 * Removes the messages at the bottom of a conversation that the transaction has locked, with all that
 * belongs to them, and raises the floor over them: so nobody finds a hole above it.
 */
export async function removeOldest(
  session: Session,
  conversationId: Buffer,
  { from, to }: Closed,
): Promise<void> {
  await session.write('UPDATE conversation SET floor_seq = ? WHERE conversation_id = ?', [
    ...[to + 1, conversationId],
  ]);
  const range = [conversationId, from, to];
  // What a user hid stays in the log until that is trimmed: it tells of nothing above the floor.
  const revisions = await session.rows<[number]>(
    `SELECT revision FROM message
     WHERE conversation_id = ? AND seq BETWEEN ? AND ? AND revision > 0`,
    range,
  );
  await session.write(
    'DELETE FROM change_log WHERE conversation_id = ? AND revision IN (?) AND seq BETWEEN ? AND ?',
    [conversationId, [...new Set(revisions.flat())], from, to],
  );
  for (const { name } of [THREAD, QUIET, HIDDEN, EXPIRY, MESSAGE]) {
    await session.write(
      `DELETE FROM ${name} WHERE conversation_id = ? AND seq BETWEEN ? AND ?`,
      range,
    );
  }
  await session.write('DELETE FROM time_block WHERE conversation_id = ? AND block < ?', [
    ...[conversationId, Math.floor(to / BLOCK_SEQS)],
  ]);
  await session.write(
    'DELETE FROM imported WHERE conversation_id = ? AND from_seq <= ? AND to_seq <= ?',
    [conversationId, to, to],
  );
}
