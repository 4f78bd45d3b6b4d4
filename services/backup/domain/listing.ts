import { LISTED_AT_ONCE } from '../limits.ts';
import type { BackupStore, StoredObject } from '../store/store.ts';

/**
 * All objects whose keys begin with a prefix, ascending by their keys. What is stored or deleted
 * meanwhile may come or not.
 */
export async function* listAll(
  store: BackupStore,
  prefix: string,
  signal: AbortSignal,
): AsyncGenerator<StoredObject, void> {
  let startAfter: string | undefined;
  for (;;) {
    const options = { limit: LISTED_AT_ONCE, ...(startAfter && { startAfter }) };
    const objects = await store.list(prefix, options, signal);
    yield* objects;
    if (objects.length < LISTED_AT_ONCE) return;
    startAfter = objects.at(-1)!.key;
  }
}
