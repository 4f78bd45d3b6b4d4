import type { BackupStore } from '../store/store.ts';
import { keys } from './keys.ts';
import { listAll } from './listing.ts';

/**
 * Takes the round of a background job that is due in the present interval: true for one of all replicas.
 * A round that was taken by one that died is not done: the next one is.
 */
export async function takeRound(
  store: BackupStore,
  job: string,
  everyMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  const nowMs = await store.nowMs(signal);
  const key = keys.round(job, nowMs - (nowMs % everyMs));
  if ((await store.put(key, Buffer.alloc(0), signal)) === 'exists') return false;
  for await (const { key: other } of listAll(store, keys.rounds(job), signal)) {
    if (other < key) await store.delete(other, signal);
  }
  return true;
}
