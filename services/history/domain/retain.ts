import { SWEPT_AT_ONCE } from '../limits.ts';
import type { Database } from '../store/database.ts';
import { BEFORE_ALL } from '../store/model.ts';
import { type Aged, readBottoms, readOldest, removeOldest } from '../store/retention.ts';
import { lockStanding } from '../store/standing.ts';

/**
 * Removes, from the bottom of every conversation up to the first that stays, the messages that are
 * older than its retention, else than `retentionMs` (0: kept for ever), or that have expired. Yields
 * how many after each transaction, and after each look at some hundred conversations.
 */
export async function* retain(
  database: Database,
  retentionMs: number,
  nowMs: number,
): AsyncGenerator<number> {
  let behind: Buffer = BEFORE_ALL;
  for (;;) {
    const { bottoms, next } = await readBottoms(database, behind, retentionMs > 0, nowMs);
    for (const bottom of bottoms) {
      if (isOld(bottom, bottom, retentionMs, nowMs)) {
        yield* retainIn(database, bottom.conversationId, retentionMs, nowMs);
      }
    }
    if (next === undefined) return;
    behind = next;
    yield 0;
  }
}

async function* retainIn(
  database: Database,
  conversationId: Buffer,
  retentionMs: number,
  nowMs: number,
): AsyncGenerator<number> {
  for (;;) {
    const removed = await database.transaction(async (transaction) => {
      const standing = await lockStanding(transaction, conversationId, []);
      const { conversation } = standing!;
      const { floorSeq } = conversation;
      const messages = await readOldest(transaction, conversationId, floorSeq, nowMs);
      const first = messages.findIndex(
        (message) => !isOld(message, conversation, retentionMs, nowMs),
      );
      const count = first < 0 ? messages.length : first;
      if (count === 0) return { value: 0, commit: false };
      const range = { from: floorSeq, to: floorSeq + count - 1 };
      await removeOldest(transaction, conversationId, range);
      return { value: count, commit: true };
    });
    yield removed;
    if (removed < SWEPT_AT_ONCE) return;
  }
}

function isOld(
  { sentAtMs, expired }: Aged,
  { retentionS }: { readonly retentionS: number },
  configuredMs: number,
  nowMs: number,
): boolean {
  if (expired) return true;
  const retentionMs = retentionS > 0 ? retentionS * 1_000 : configuredMs;
  return retentionMs > 0 && sentAtMs < nowMs - retentionMs;
}
