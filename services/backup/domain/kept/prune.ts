import { NUMBER_KEPT_TRANSFERS } from '../../limits.ts';
import type { BackupStore } from '../../store/store.ts';
import { keys } from '../keys.ts';
import { type Backups, hasFailed, isDeleted, type Newest } from './backups.ts';
import {
  type HeadListing,
  listHeads,
  markDeleted,
  removeHeads,
  removeObjects,
} from './deletion.ts';
import { removeErased } from './erasure.ts';
import { doubtHeads } from './notes.ts';
import { type KeepPolicy, kept } from './retention.ts';

/** All that is known of a database's backups at some time. */
interface Look extends HeadListing, Newest {
  readonly nowMs: number;
}

/**
 * Deletes the backups of a database that a policy does not keep, but never the newest that has passed its
 * verification, nor the newest that has not failed it; and removes what earlier deletions and erasures
 * have left of heads. May be done at any time, by many at once. Gives how many it deleted.
 */
export async function prune(
  store: BackupStore,
  backups: Backups,
  policy: KeepPolicy,
  transferMs: number,
  signal: AbortSignal,
): Promise<number> {
  const { prefix } = backups;
  const look = await lookAt(store, backups, signal);
  if (look.erasure > 0) await finishErasure(store, prefix, look, signal);
  const beforeMs = look.nowMs - NUMBER_KEPT_TRANSFERS * transferMs;
  await removeGone(store, prefix, look, beforeMs, signal);

  const doomed = notKept(look, policy);
  if (doomed.length === 0) return 0;
  await doubtHeads(store, prefix, signal);
  for (const number of doomed) await markDeleted(store, prefix, number, signal, 'pruned');
  // Meanwhile somebody may have pinned one, or a newer one may have failed.
  const still = notKept(await lookAt(store, backups, signal), policy, doomed);
  const saved = doomed.filter((number) => !still.includes(number));
  const notes = saved.map((number) => keys.note(prefix, number, 'pruned'));
  await removeObjects(store, notes, signal);
  return doomed.length - saved.length;
}

async function lookAt(store: BackupStore, backups: Backups, signal: AbortSignal): Promise<Look> {
  const newest = await backups.newest(signal);
  const listing = await listHeads(store, backups.prefix, signal);
  return { ...newest, ...listing, nowMs: await store.nowMs(signal) };
}

/** Numbers of the backups that the policy does not keep, where those in `doomed` are taken for not pruned. */
function notKept(
  { heads, erasure, backup, passed, nowMs }: Look,
  policy: KeepPolicy,
  doomed: readonly number[] = [],
): number[] {
  const living = heads.filter(
    ({ number, notes }) =>
      number > erasure &&
      !notes.has('deleted') &&
      (!notes.has('pruned') || doomed.includes(number)),
  );
  const keep = kept(living, policy, nowMs);
  // A newer head may be damaged, and what has passed stand in other heads: a listing tells neither.
  const noted = living.find((head) => head.notes.has('passed') && !hasFailed(head));
  if (noted !== undefined) keep.add(noted.number);
  if (backup !== undefined) keep.add(backup.head.number);
  if (passed !== undefined) keep.add(passed.number);
  return living.map(({ number }) => number).filter((number) => !keep.has(number));
}

/** Does what an erasure, or an upload that should have withdrawn its head, left undone. */
async function finishErasure(
  store: BackupStore,
  prefix: string,
  { heads, erasure }: Look,
  signal: AbortSignal,
): Promise<void> {
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
  { heads, lone }: Look,
  beforeMs: number,
  signal: AbortSignal,
): Promise<void> {
  const [highest] = heads;
  const gone = heads.filter(
    ({ notes }) => (notes.get('deleted') ?? notes.get('pruned') ?? beforeMs) < beforeMs,
  );
  const others = gone.filter((head) => head !== highest);
  await removeHeads(store, prefix, others, signal);
  const old = lone.filter(({ storedAtMs }) => storedAtMs < beforeMs).map(({ key }) => key);
  await removeObjects(store, old, signal);
  if (highest === undefined || !gone.includes(highest)) return;
  const left = await store.list(prefix, { limit: highest.notes.size + 3 }, signal);
  const doubt = keys.doubt(prefix);
  if (left.every(({ key }) => key.startsWith(highest.object.key) || key === doubt)) {
    await removeHeads(store, prefix, [highest], signal);
    await store.delete(doubt, signal);
  }
}
