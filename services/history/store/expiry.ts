import { SWEPT_AT_ONCE } from '../limits.ts';
import type { Database, Transaction } from './database.ts';
import type { MessageHead } from './heads.ts';
import type { Place } from './model.ts';
import { leaveThreads } from './rewrite.ts';
import { MESSAGE } from './tables.ts';

/** What is left of a message that has expired. */
export interface Remains extends MessageHead {
  /** Encoded, without content. */
  readonly body: Buffer;
}

/** Messages that have expired and still have their content: the first `SWEPT_AT_ONCE`, longest ago first. */
export async function findExpired(database: Database, nowMs: number): Promise<Place[]> {
  const rows = await database.run((session) =>
    session.rows<[Buffer, number]>(
      `SELECT conversation_id, seq FROM expiry WHERE swept = 0 AND expires_at_ms <= ?
       ORDER BY expires_at_ms LIMIT ${SWEPT_AT_ONCE}`,
      [nowMs],
    ),
  );
  return rows.map(([conversationId, seq]) => ({ conversationId, seq }));
}

/**
 * Takes the content out of messages that were read in the same transaction, which has locked their
 * conversation. Nobody is told: devices remove by themselves what expires.
 */
export async function writeRemains(
  transaction: Transaction,
  conversationId: Buffer,
  remains: readonly Remains[],
): Promise<void> {
  // All are there: as an upsert, any number of them is one statement.
  const rows = remains.map(({ seq, id, sender, sentAtMs, contentHash, body, kinds }) => [
    ...[conversationId, seq, Buffer.from(id), Buffer.from(sender), sentAtMs],
    ...[contentHash, body, kinds],
  ]);
  await transaction.insert(MESSAGE, rows, {
    content_hash: 'replace',
    body: 'replace',
    kinds: 'replace',
  });
}

/** Notes that nothing is left to be done for messages that expired. */
export async function markSwept(
  transaction: Transaction,
  conversationId: Buffer,
  seqs: readonly number[],
): Promise<void> {
  await leaveThreads(transaction, conversationId, seqs);
  await transaction.write('UPDATE expiry SET swept = 1 WHERE conversation_id = ? AND seq IN (?)', [
    ...[conversationId, seqs],
  ]);
}
