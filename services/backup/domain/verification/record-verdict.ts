import type { BackupStore } from '../../store/store.ts';
import { markDamaged } from '../collection/marks.ts';
import { type Backups, hasFailed, type KeptBackup } from '../kept/backups.ts';
import { doubtHeads, renew } from '../kept/notes.ts';
import { keys } from '../keys.ts';
import { findMap, openIfReadable } from '../packs/map-file.ts';
import { encodeFailure } from './verdict.ts';
import type { Verdict } from './verify.ts';

/**
 * Keeps what the verification of a backup came to: a note about it. Of a failure, all other backups
 * are told that have the same root, or need a damaged pack; and nothing reuses such a pack any more.
 * Of those with the same root a pass takes back that they are damaged. May be done again.
 */
export async function recordVerdict(
  store: BackupStore,
  backups: Backups,
  { head, notes }: KeptBackup,
  { failure, damagedPacks }: Verdict,
  signal: AbortSignal,
): Promise<void> {
  const { prefix } = backups;
  // Of a pass of the highest backup the next head tells, or it stands right above it.
  const isHighest = async () => (await backups.newest(signal)).highestNumber === head.number;
  const isToBeTold = failure === undefined && (await isHighest());
  if (!isToBeTold) await doubtHeads(store, prefix, signal);
  if (failure === undefined) {
    await renew(store, keys.note(prefix, head.number, 'passed'), Buffer.alloc(0), signal);
    if (isToBeTold && !(await isHighest())) await doubtHeads(store, prefix, signal);
    if (notes.has('failed')) await store.delete(keys.note(prefix, head.number, 'failed'), signal);
    await clearDamage(store, backups, head.root, signal);
    return;
  }
  for (const id of damagedPacks) await markDamaged(store, prefix, id, signal);
  const note = encodeFailure(failure);
  // One that is there stays: between its deletion and a new one the backup would count.
  await store.put(keys.note(prefix, head.number, 'failed'), note, signal);
  const isAffected = affectedBy(store, prefix, head.root, damagedPacks, signal);
  // Until a look finds none: who commits after that sees, behind its own head, what was noted before.
  for (let told = -1; told !== 0; ) {
    told = 0;
    const all = await backups.list(Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, signal);
    for (const other of all) {
      if (hasFailed(other) || !(await isAffected(other.head.root))) continue;
      await store.put(keys.note(prefix, other.head.number, 'failed'), note, signal);
      told += 1;
    }
  }
}

/** Takes back of all backups of a root that they are damaged. */
async function clearDamage(
  store: BackupStore,
  backups: Backups,
  root: string,
  signal: AbortSignal,
): Promise<void> {
  for await (const entry of backups.entries(Number.MAX_SAFE_INTEGER, signal)) {
    if (!hasFailed(entry)) continue;
    // One whose own head is damaged is passed over.
    const [kept] = await backups.list(entry.number + 1, 1, signal);
    if (kept?.head.root !== root || kept.failure?.reason !== 'DAMAGED') continue;
    await doubtHeads(store, backups.prefix, signal);
    await store.delete(keys.note(backups.prefix, kept.head.number, 'failed'), signal);
  }
}

/** Tells whether a root has failed with another one. */
function affectedBy(
  store: BackupStore,
  prefix: string,
  failedRoot: string,
  damagedPacks: readonly string[],
  signal: AbortSignal,
): (root: string) => Promise<boolean> {
  const known = new Map([[failedRoot, true]]);
  const damaged = new Set(damagedPacks);
  const needsDamaged = async (root: string) => {
    const object = await findMap(store, prefix, Buffer.from(root, 'hex'), signal);
    const map = object && (await openIfReadable(store, object, signal));
    return map?.tables.packs.some(({ id }) => damaged.has(id)) === true;
  };
  return async (root) => {
    const affected = known.get(root) ?? (damaged.size > 0 && (await needsDamaged(root)));
    known.set(root, affected);
    return affected;
  };
}
