import { aborted } from '../../../common/errors.ts';
import { COMMIT_ATTEMPTS } from '../../limits.ts';
import type { BackupStore } from '../../store/store.ts';
import { databasesOf } from '../databases.ts';
import { keys } from '../keys.ts';
import { listAll } from '../listing.ts';
import { isDeleted } from './backups.ts';
import { listHeads, markDeleted, removeHeads, removeObjects } from './deletion.ts';
import { encodeHead, erasureHead } from './head.ts';

/**
 * Tells an erasure of all of a user's databases that an upload has begun in one that may have no other
 * object yet. The mark is a head of number 0, which no backup has.
 */
export async function markBegun(
  store: BackupStore,
  prefix: string,
  signal: AbortSignal,
): Promise<void> {
  await store.put(keys.head(prefix, 0), Buffer.alloc(0), signal);
}

/**
 * Deletes all backups of a user, or of one database, whichever `prefix` it is, and all else that is
 * stored there. Uploads under way do not commit; those that begin afterwards are not touched, whatever
 * they have in common with what was there. May be done again after an error, and twice at once. Gives
 * how many backups it deleted.
 *
 * An erasure of a database takes a number, as a head does; only one can have it, so that it decides what
 * came before. Heads below it are deleted, an upload that finds it above the newest head it knows ends,
 * and one that begins after it uses nothing from before. What else is deleted was there before the number
 * was taken. So its order among uploads hangs on no clock. It stays until all uploads from before have
 * ended, and what those still leave is collected like all that nothing needs.
 */
export async function eraseAll(
  store: BackupStore,
  prefix: string,
  signal: AbortSignal,
): Promise<number> {
  const stored: string[] = [];
  for await (const { key } of listAll(store, prefix, signal)) {
    if (!keys.isOfHeads(key)) stored.push(key);
  }
  let deleted = 0;
  if (keys.databaseOf(prefix) !== undefined) deleted = await eraseHeads(store, prefix, signal);
  else {
    for await (const database of databasesOf(store, signal, prefix)) {
      deleted += await eraseHeads(store, database, signal);
    }
  }
  await removeObjects(store, stored, signal);
  return deleted;
}

/** Removes all heads below an erasure. Gives how many were of backups. */
export async function removeErased(
  store: BackupStore,
  prefix: string,
  erasure: number,
  signal: AbortSignal,
): Promise<number> {
  const { heads } = await listHeads(store, prefix, signal);
  const below = heads.filter(({ number }) => number < erasure);
  await removeHeads(store, prefix, below, signal);
  await store.delete(keys.head(prefix, 0), signal);
  return below.filter((head) => !isDeleted(head)).length;
}

async function eraseHeads(
  store: BackupStore,
  prefix: string,
  signal: AbortSignal,
): Promise<number> {
  const erasure = await takeNumber(store, prefix, signal);
  // Whoever only lists the heads sees by this that it is no backup.
  await markDeleted(store, prefix, erasure, signal);
  return await removeErased(store, prefix, erasure, signal);
}

async function takeNumber(
  store: BackupStore,
  prefix: string,
  signal: AbortSignal,
): Promise<number> {
  for (let attempt = 0; attempt < COMMIT_ATTEMPTS; attempt++) {
    const { heads } = await listHeads(store, prefix, signal);
    const number = 1 + (heads[0]?.number ?? 0);
    const head = encodeHead(erasureHead(number));
    if ((await store.put(keys.head(prefix, number), head, signal)) === 'created') return number;
  }
  throw aborted('CONCURRENT_UPLOAD', 'uploads of the database were committed meanwhile');
}
