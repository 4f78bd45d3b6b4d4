import { OBJECTS_AT_ONCE } from '../../limits.ts';
import type { BackupStore, StoredObject } from '../../store/store.ts';
import { inParallel } from '../in-parallel.ts';
import { keys, noteInKey } from '../keys.ts';
import { listAll } from '../listing.ts';
import { type HeadEntry, headsAmong } from './backups.ts';

/** What is stored of a database's heads. */
export interface HeadListing {
  /** Highest first, those of deleted backups among them. */
  readonly heads: readonly HeadEntry[];
  /** Notes whose head is gone. */
  readonly lone: readonly StoredObject[];
}

/**
 * Deletes a backup: from now on nobody finds it. May be done twice. Its head stays for a while, because
 * an upload under way may take it for the newest, and would use the next number once more. `note`: by
 * whom.
 */
export async function markDeleted(
  store: BackupStore,
  prefix: string,
  number: number,
  signal: AbortSignal,
  note: 'deleted' | 'pruned' = 'deleted',
): Promise<void> {
  await store.put(keys.note(prefix, number, note), Buffer.alloc(0), signal);
}

/** Lists all heads of the database with this prefix. */
export async function listHeads(
  store: BackupStore,
  prefix: string,
  signal: AbortSignal,
): Promise<HeadListing> {
  const objects = await Array.fromAsync(listAll(store, keys.heads(prefix), signal));
  const heads = await Array.fromAsync(headsAmong(objects));
  const numbers = new Set(heads.map(({ number }) => number));
  const lone = objects.filter(({ key }) => {
    const noted = noteInKey(key);
    return noted !== undefined && !numbers.has(noted.number);
  });
  return { heads, lone };
}

/** Removes heads, and then their notes: no head may come back because the note that deleted it is gone. */
export async function removeHeads(
  store: BackupStore,
  prefix: string,
  heads: readonly HeadEntry[],
  signal: AbortSignal,
): Promise<void> {
  await removeObjects(
    store,
    heads.map(({ object }) => object.key),
    signal,
  );
  const notes = heads.flatMap((head) =>
    Array.from(head.notes.keys(), (note) => keys.note(prefix, head.number, note)),
  );
  await removeObjects(store, notes, signal);
}

/** Removes objects. */
export async function removeObjects(
  store: BackupStore,
  removed: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  await inParallel(OBJECTS_AT_ONCE, removed, (key) => store.delete(key, signal));
}
