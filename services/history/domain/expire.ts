import type { Database } from '../store/database.ts';
import { expiriesOf } from '../store/excluded.ts';
import { findExpired, markSwept, writeRemains } from '../store/expiry.ts';
import { readHeads } from '../store/heads.ts';
import { keyOf } from '../store/model.ts';
import { lockStanding } from '../store/standing.ts';
import { tombstoneOf } from './delete-messages.ts';

/** Removes the content of messages that have expired; yields how many after each transaction. */
export async function* expire(database: Database, nowMs: number): AsyncGenerator<number> {
  for (;;) {
    const places = await findExpired(database, nowMs);
    if (places.length === 0) return;
    const byConversation = Map.groupBy(places, ({ conversationId }) => keyOf(conversationId));
    for (const some of byConversation.values()) {
      const seqs = some.map(({ seq }) => seq);
      await expireIn(database, some[0]!.conversationId, seqs, nowMs);
      yield seqs.length;
    }
  }
}

function expireIn(
  database: Database,
  conversationId: Buffer,
  seqs: readonly number[],
  nowMs: number,
): Promise<void> {
  return database.transaction(async (transaction) => {
    await lockStanding(transaction, conversationId, []);
    const heads = await readHeads(transaction, conversationId, seqs);
    const expiries = await expiriesOf(transaction, conversationId, seqs);
    // As of a deleted message; but nobody is told, so nothing says that it was.
    const remains = heads.map((head) => tombstoneOf(head, expiries.get(head.seq)!, nowMs));
    await writeRemains(transaction, conversationId, remains);
    await markSwept(transaction, conversationId, seqs);
    return { value: undefined, commit: true };
  });
}
