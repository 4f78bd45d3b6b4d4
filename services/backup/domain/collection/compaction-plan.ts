import {
  COMPACTED_BYTES,
  COMPACTED_RUNS,
  LEAST_DEAD_SHARE,
  MOST_DEAD_SHARE,
  MOST_RUNS,
  MOST_SMALL_PACKS,
  PACK_BYTES,
} from '../../limits.ts';
import type { Marks } from './marks.ts';
import type { PackUse } from './pack-use.ts';

/**
 * Chooses the packs whose pages should be stored anew: those that are mostly dead where much of the
 * store is; the smaller runs where the newest backup is spread over many; small packs, where they are
 * many; and those that uploads may not reuse any more. `newest`: what the newest backup needs. Gives
 * none where it is not worth the work.
 */
export function chooseVictims(
  packs: readonly PackUse[],
  newest: readonly PackUse[],
  marks: Marks,
): Set<PackUse> {
  const victims = new Set<PackUse>();
  const runs = new Set<string>();
  let bytes = 0;
  const choose = (pack: PackUse) => {
    // Nothing can be made of a damaged one.
    if (victims.has(pack) || marks.isDamaged(pack.place.id)) return;
    bytes += pack.liveBytes;
    if (bytes > COMPACTED_BYTES && victims.size > 0) return;
    if (runs.add(pack.run).size <= COMPACTED_RUNS) victims.add(pack);
  };
  for (const pack of packs) if (!marks.mayReusePack(pack.place.id)) choose(pack);
  for (const pack of scattered(newest)) choose(pack);
  for (const pack of mostlyDead(packs)) choose(pack);
  return victims;
}

/** The deadest packs, until so few dead bytes are left that it is not worth while any more. */
function mostlyDead(packs: readonly PackUse[]): PackUse[] {
  const all = packs.map((pack) => ({ pack, deadBytes: pack.deadBytes }));
  const total = sum(packs.map(({ place }) => place.indexOffset));
  let dead = sum(all.map(({ deadBytes }) => deadBytes));
  const chosen: PackUse[] = [];
  if (dead <= MOST_DEAD_SHARE * total) return chosen;
  const share = ({ pack, deadBytes }: (typeof all)[number]) => deadBytes / pack.place.indexOffset;
  for (const one of all.toSorted((first, second) => share(second) - share(first))) {
    if (dead <= LEAST_DEAD_SHARE * total) break;
    dead -= one.deadBytes;
    chosen.push(one.pack);
  }
  return chosen;
}

/**
 * Packs of the newest backup that should become one run. A run that is as large as all smaller ones
 * together stays, so that a page is stored anew a few times in its life, and not every day.
 */
function scattered(newest: readonly PackUse[]): PackUse[] {
  const small = newest.filter(({ place }) => place.sizeBytes < PACK_BYTES / 4);
  const runs = [...Map.groupBy(newest, ({ run }) => run).values()]
    .map((packs) => ({ packs, bytes: sum(packs.map(({ liveBytes }) => liveBytes)) }))
    .toSorted((one, other) => one.bytes - other.bytes);
  if (runs.length <= MOST_RUNS) return small.length > MOST_SMALL_PACKS ? small : [];
  let smaller = 0;
  let count = 0;
  for (const [at, { bytes }] of runs.entries()) {
    if (at < MOST_RUNS / 2 || bytes < smaller) count = at + 1;
    smaller += bytes;
  }
  return runs.slice(0, count).flatMap(({ packs }) => packs);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
