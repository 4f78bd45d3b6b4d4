import type { BackupStore } from '../../store/store.ts';
import { keys } from '../keys.ts';

/** Stores a small object anew, so that its time is that of the last time. */
export async function renew(
  store: BackupStore,
  key: string,
  bytes: Buffer,
  signal: AbortSignal,
): Promise<void> {
  if ((await store.put(key, bytes, signal)) === 'created') return;
  await store.delete(key, signal);
  await store.put(key, bytes, signal);
}

/**
 * Notes that what the heads tell of backups below them may no longer hold: that one of them is the
 * newest that has passed its verification. To be called before that changes. Whoever then looks for it
 * looks at all heads, until one was committed well after this.
 */
export async function doubtHeads(
  store: BackupStore,
  prefix: string,
  signal: AbortSignal,
): Promise<void> {
  await renew(store, keys.doubt(prefix), Buffer.alloc(0), signal);
}
