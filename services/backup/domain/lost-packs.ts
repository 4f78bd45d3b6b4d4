import { LISTED_AT_ONCE } from '../limits.ts';
import type { BackupStore } from '../store/store.ts';
import { keys } from './keys.ts';
import type { PackPlace } from './map.ts';

/**
 * Which of a map's packs the store no longer holds, or holds with another size: their positions in
 * `packs`. Looks at what the store lists and reads none of them, so that bits that flipped inside a
 * pack stay unseen here: a download finds those, by the digests.
 */
export async function lostPacks(
  store: BackupStore,
  prefix: string,
  packs: readonly PackPlace[],
  signal: AbortSignal,
): Promise<Set<number>> {
  const lost = new Set(packs.keys());
  if (lost.size === 0) return lost;
  const positions = new Map(packs.map(({ id }, at) => [keys.pack(prefix, id), at]));
  let startAfter: string | undefined;
  for (;;) {
    const options = { limit: LISTED_AT_ONCE, ...(startAfter && { startAfter }) };
    const objects = await store.list(keys.packs(prefix), options, signal);
    for (const { key, sizeBytes } of objects) {
      const at = positions.get(key);
      if (at !== undefined && packs[at]!.sizeBytes === sizeBytes) lost.delete(at);
    }
    if (objects.length < LISTED_AT_ONCE || lost.size === 0) return lost;
    startAfter = objects.at(-1)!.key;
  }
}
