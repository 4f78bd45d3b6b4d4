import type { BackupStore, StoredObject } from '../../store/store.ts';
import { keys } from '../keys.ts';
import { listAll } from '../listing.ts';
import { headsAmong, isDeleted } from './backups.ts';

/** What a user's backups take up. */
export interface Usage {
  /** Bytes of all objects. */
  readonly storedBytes: number;
  readonly backups: number;
  /** Databases with a backup. */
  readonly databases: number;
}

/** Adds up what is stored of a user: one listing, however many databases there are. */
export async function usageOf(
  store: BackupStore,
  user: string,
  signal: AbortSignal,
): Promise<Usage> {
  const heads = new Map<string, StoredObject[]>();
  let storedBytes = 0;
  for await (const object of listAll(store, keys.user(user), signal)) {
    storedBytes += object.sizeBytes;
    const prefix = keys.databaseOf(object.key);
    if (prefix === undefined || !keys.isOfHeads(object.key)) continue;
    const objects = heads.get(prefix);
    if (objects === undefined) heads.set(prefix, [object]);
    else objects.push(object);
  }
  const counts = [];
  for (const objects of heads.values()) {
    const listed = await Array.fromAsync(headsAmong(objects));
    counts.push(listed.filter((head) => !isDeleted(head)).length);
  }
  return {
    storedBytes,
    backups: counts.reduce((sum, count) => sum + count, 0),
    databases: counts.filter((count) => count > 0).length,
  };
}
