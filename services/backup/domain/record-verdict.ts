import type { BackupStore } from '../store/store.ts';
import { type Backups, hasFailed, type KeptBackup } from './backups.ts';
import { keys } from './keys.ts';
import { findMap, openIfReadable } from './map-file.ts';
import { markDamaged } from './marks.ts';
import { encodeFailure } from './verdict.ts';
import type { Verdict } from './verify.ts';

/**
 * Keeps what the verification of a backup came to: a note about it. Of a failure, all other backups
 * are told that have the same root, or need a damaged pack; and nothing reuses such a pack any more.
 * May be done again.
 */
export async function recordVerdict(
  store: BackupStore,
  backups: Backups,
  { head, notes }: KeptBackup,
  { failure, damagedPacks }: Verdict,
  signal: AbortSignal,
): Promise<void> {
  const { prefix } = backups;
  if (failure === undefined) {
    await renew(store, keys.note(prefix, head.number, 'passed'), Buffer.alloc(0), signal);
    if (notes.has('failed')) await store.delete(keys.note(prefix, head.number, 'failed'), signal);
    return;
  }
  for (const id of damagedPacks) await markDamaged(store, prefix, id, signal);
  const note = encodeFailure(failure);
  await renew(store, keys.note(prefix, head.number, 'failed'), note, signal);
  const isAffected = affectedBy(store, prefix, head.root, damagedPacks, signal);
  const all = await backups.list(Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, signal);
  for (const other of all) {
    if (hasFailed(other) || !(await isAffected(other.head.root))) continue;
    await store.put(keys.note(prefix, other.head.number, 'failed'), note, signal);
  }
}

/** A note's time is that of the last verification. */
async function renew(
  store: BackupStore,
  key: string,
  note: Buffer,
  signal: AbortSignal,
): Promise<void> {
  if ((await store.put(key, note, signal)) === 'created') return;
  await store.delete(key, signal);
  await store.put(key, note, signal);
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
