import type { BackupStore } from '../store/store.ts';
import { keys } from './keys.ts';

/**
 * Prefixes of all databases that have an object in the store, ascending; of one user alone where
 * `userPrefix` is that of `keys.user`. Takes one short listing each.
 */
export async function* databasesOf(
  store: BackupStore,
  signal: AbortSignal,
  userPrefix?: string,
): AsyncGenerator<string, void> {
  const prefix = userPrefix ?? keys.users;
  let startAfter = prefix;
  for (;;) {
    const [object] = await store.list(prefix, { limit: 1, startAfter }, signal);
    if (object === undefined) return;
    const database = keys.databaseOf(object.key);
    if (database !== undefined) yield database;
    // All of the database's keys, or the user's other one, begin with it and end in lower characters.
    startAfter = database === undefined ? object.key : `${database}~`;
  }
}
