import { SWEPT_AT_ONCE } from '../limits.ts';
import type { Database } from '../store/database.ts';
import { purgeGroup } from '../store/groups.ts';
import { BEFORE_ALL } from '../store/model.ts';
import { type Pending, readPending, removePending, settlePending } from '../store/pending.ts';

/**
 * Does what was noted to follow from changes, and was not done because whoever made them died: raises
 * users' own revisions, and removes what is left of deleted groups. Yields how many rows after each step.
 */
export async function* settleLeftOver(database: Database): AsyncGenerator<number> {
  let from: Buffer = BEFORE_ALL;
  for (;;) {
    const found = await readPending(database, from);
    for (const pending of found) yield* settle(database, pending);
    const count = found.reduce((sum, { notes }) => sum + notes.length, 0);
    if (count < SWEPT_AT_ONCE) return;
    from = found.at(-1)!.conversationId; // it may have more
  }
}

async function* settle(
  database: Database,
  { conversationId, notes }: Pending,
): AsyncGenerator<number> {
  const users = notes.filter(({ user }) => user !== '');
  await settlePending(database, { conversationId, notes: users });
  yield users.length;
  const deletions = notes.filter(({ user }) => user === '');
  if (deletions.length === 0) return;
  for (;;) {
    const rows = await purgeGroup(database, conversationId, SWEPT_AT_ONCE);
    if (rows === 0) break;
    yield rows;
  }
  await removePending(database, { conversationId, notes: deletions });
}
