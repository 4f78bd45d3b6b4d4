import type { BackupStore } from '../../store/store.ts';
import type { Marks } from '../collection/marks.ts';
import { keys } from '../keys.ts';
import { listAll } from '../listing.ts';
import type { PackPlace } from './map.ts';

/**
 * Which of a map's packs the store no longer holds, or holds with another size, or may not be reused:
 * their positions in `packs`. Looks at what the store lists and reads none of them, so that bits that flipped inside a
 * pack stay unseen here: a download finds those, by the digests.
 */
export async function lostPacks(
  store: BackupStore,
  prefix: string,
  packs: readonly PackPlace[],
  marks: Marks,
  signal: AbortSignal,
): Promise<Set<number>> {
  const lost = new Set(packs.keys());
  if (lost.size === 0) return lost;
  const positions = new Map(packs.map(({ id }, at) => [keys.pack(prefix, id), at]));
  for await (const { key, sizeBytes } of listAll(store, keys.packs(prefix), signal)) {
    const at = positions.get(key);
    if (at === undefined || packs[at]!.sizeBytes !== sizeBytes) continue;
    if (marks.mayReusePack(packs[at]!.id)) lost.delete(at);
    if (lost.size === 0) break;
  }
  return lost;
}
