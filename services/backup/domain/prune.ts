import { NUMBER_KEPT_TRANSFERS } from '../limits.ts';
import type { BackupStore } from '../store/store.ts';
import { type Backups, type HeadEntry, isDeleted } from './backups.ts';
import { listHeads, markDeleted, removeHeads, removeObjects } from './deletion.ts';
import { removeErased } from './erasure.ts';
import { keys } from './keys.ts';
import { type KeepPolicy, kept } from './retention.ts';

/**
 * Deletes the backups of a database that a policy does not keep, but never the newest that has passed its
 * verification, nor the newest that has not failed it; and removes what earlier deletions and
 * erasures have left of heads. May be done at any time, by many at once. Gives how many it deleted.
 */
export async function prune(
  store: BackupStore,
  backups: Backups,
  policy: KeepPolicy,
  transferMs: number,
  signal: AbortSignal,
): Promise<number> {
  const { prefix } = backups;
  const { erasure } = await backups.newest(signal);
  if (erasure > 0) await finishErasure(store, prefix, erasure, signal);
  const beforeMs = (await store.nowMs(signal)) - NUMBER_KEPT_TRANSFERS * transferMs;
  await removeGone(store, prefix, beforeMs, signal);

  const doomed = (await notKept(store, backups, policy, new Set(), signal)).map(numberOf);
  for (const number of doomed) await markDeleted(store, prefix, number, signal);
  if (doomed.length === 0) return 0;
  // Meanwhile somebody may have pinned one, or a newer one may have failed.
  const still = (await notKept(store, backups, policy, new Set(doomed), signal)).map(numberOf);
  const saved = doomed.filter((number) => !still.includes(number));
  await removeObjects(
    store,
    saved.map((number) => keys.note(prefix, number, 'deleted')),
    signal,
  );
  return doomed.length - saved.length;
}

/** Backups that the policy does not keep, where those in `doomed` are taken for not deleted. */
async function notKept(
  store: BackupStore,
  backups: Backups,
  policy: KeepPolicy,
  doomed: ReadonlySet<number>,
  signal: AbortSignal,
): Promise<HeadEntry[]> {
  const { heads } = await listHeads(store, backups.prefix, signal);
  const { backup, passed, erasure } = await backups.newest(signal);
  const living = heads.filter(
    (head) => head.number > erasure && (!isDeleted(head) || doomed.has(head.number)),
  );
  const keep = kept(living, policy, await store.nowMs(signal));
  // A newer head may be damaged, and what has passed stand in other heads: a listing tells neither.
  if (backup !== undefined) keep.add(backup.head.number);
  if (passed !== undefined) keep.add(passed.number);
  return living.filter(({ number }) => !keep.has(number));
}

/** Does what an erasure, or an upload that should have withdrawn its head, left undone. */
async function finishErasure(
  store: BackupStore,
  prefix: string,
  erasure: number,
  signal: AbortSignal,
): Promise<void> {
  const { heads } = await listHeads(store, prefix, signal);
  const mark = heads.find(({ number }) => number === erasure);
  if (mark !== undefined && !isDeleted(mark)) await markDeleted(store, prefix, erasure, signal);
  if (heads.some(({ number }) => number < erasure)) {
    await removeErased(store, prefix, erasure, signal);
  }
}

/**
 * Removes heads that were deleted before a time when uploads began that have all ended since: none of
 * them takes a number again. The highest number stays, unless nothing else is left of the database.
 */
async function removeGone(
  store: BackupStore,
  prefix: string,
  beforeMs: number,
  signal: AbortSignal,
): Promise<void> {
  const { heads, lone } = await listHeads(store, prefix, signal);
  const gone = heads.filter(({ notes }) => (notes.get('deleted') ?? beforeMs) < beforeMs);
  await removeHeads(
    store,
    prefix,
    gone.filter((head) => head !== heads[0]),
    signal,
  );
  const old = lone.filter(({ storedAtMs }) => storedAtMs < beforeMs);
  await removeObjects(
    store,
    old.map(({ key }) => key),
    signal,
  );
  const [highest] = heads;
  if (highest === undefined || !gone.includes(highest)) return;
  const left = await store.list(prefix, { limit: 1 + highest.notes.size + 1 }, signal);
  if (left.every(({ key }) => key.startsWith(highest.object.key))) {
    await removeHeads(store, prefix, [highest], signal);
  }
}

function numberOf({ number }: HeadEntry): number {
  return number;
}
