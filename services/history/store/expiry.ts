import { SWEPT_AT_ONCE } from '../limits.ts';
import type { Database, Table, Transaction } from './database.ts';
import type { MessageHead } from './heads.ts';

/** A message's place. */
export interface Place {
  readonly conversationId: Buffer;
  readonly seq: number;
}

/** What is left of a message that has expired. */
export interface Remains extends MessageHead {
  /** Encoded, without content. */
  readonly body: Buffer;
}

/** What of a message goes with its content. */
const EMPTIED: Table = {
  name: 'message',
  columns: [
    ...['conversation_id', 'seq', 'message_id', 'sender', 'sent_at_ms'],
    ...['content_hash', 'kinds', 'body'],
  ],
  key: ['conversation_id', 'seq'],
};

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
  const rows = remains.map(({ seq, id, sender, sentAtMs, contentHash, kinds, body }) => [
    ...[conversationId, seq, Buffer.from(id), Buffer.from(sender), sentAtMs],
    ...[contentHash, kinds, body],
  ]);
  await transaction.insert(EMPTIED, rows, {
    content_hash: 'replace',
    kinds: 'replace',
    body: 'replace',
  });
}

/** Notes that nothing is left to be done for messages that expired. */
export async function markSwept(
  transaction: Transaction,
  conversationId: Buffer,
  seqs: readonly number[],
): Promise<void> {
  await transaction.write('DELETE FROM thread WHERE conversation_id = ? AND seq IN (?)', [
    ...[conversationId, seqs],
  ]);
  await transaction.write('UPDATE expiry SET swept = 1 WHERE conversation_id = ? AND seq IN (?)', [
    ...[conversationId, seqs],
  ]);
}
