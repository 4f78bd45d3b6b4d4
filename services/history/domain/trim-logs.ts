import { findOldChanges, forgetChanges } from '../store/change-log.ts';
import type { Database } from '../store/database.ts';

/** Removes changes from before `beforeMs` from all logs; yields how many revisions after each transaction. */
export async function* trimLogs(database: Database, beforeMs: number): AsyncGenerator<number> {
  for (;;) {
    const found = await findOldChanges(database, beforeMs);
    if (found.length === 0) return;
    for (const changes of found) {
      await forgetChanges(database, changes);
      yield changes.revisions.length;
    }
  }
}
