import type { BackupStore, StoredObject } from '../../store/store.ts';
import { keys, numberInKey } from '../keys.ts';
import { listAll } from '../listing.ts';
import { type Division, type PackPlace, type PagePlace, Segment } from '../packs/map.ts';
import { MapBuilder, StoredMap } from '../packs/map-file.ts';
import { chooseVictims } from './compaction-plan.ts';
import { findLiving } from './living.ts';
import { type PackUse, PackUses } from './pack-use.ts';
import { type NewFrame, PageMover } from './page-mover.ts';
import { Reuse } from './reuse.ts';

/** What a compaction did. */
export interface Compacted {
  /** Packs whose pages it stored anew, and which nothing needs any more. */
  replaced: number;
  /** Bytes of packs and maps that it stored. */
  storedBytes: number;
}

/**
 * Stores pages of a database's backups anew where packs are mostly dead, or where the newest backup is
 * spread over too many: in new packs, and in a new generation of the map of each root that is concerned.
 * Collection then finds the old ones unneeded; downloads that began with them go on until it has.
 * Backups that need a pack which is damaged or gone are left as they are.
 *
 * May be done at any time, by many at once, and be ended at any point: what it had not put into a map
 * is collected. Holds a few bytes for each page that it moves and each frame that is needed.
 *
 * @throws ServiceError as the last look of `Reuse`; DamageError where something is not as written
 */
export async function compact(
  store: BackupStore,
  prefix: string,
  transferMs: number,
  signal: AbortSignal,
): Promise<Compacted> {
  const endMs = (await store.nowMs(signal)) + transferMs;
  const reuse = await Reuse.begin(store, prefix, endMs, signal);
  const { maps } = await findLiving(store, prefix, signal);
  const sizes = new Map<string, number>();
  for await (const { key, sizeBytes } of listAll(store, keys.packs(prefix), signal)) {
    sizes.set(key, sizeBytes);
  }
  const isSound = ({ id, sizeBytes }: PackPlace) =>
    sizes.get(keys.pack(prefix, id)) === sizeBytes && !reuse.marks.isDamaged(id);
  const uses = new PackUses();
  const sound: StoredObject[] = [];
  let newest: PackUse[] | undefined;
  for (const object of maps) {
    const map = await StoredMap.open(store, object, signal);
    if (!map.tables.packs.every(isSound)) continue;
    sound.push(object);
    await uses.add(map, signal);
    newest ??= [...uses.packs.values()];
  }
  const victims = chooseVictims([...uses.packs.values()], newest ?? [], reuse.marks);
  if (victims.size === 0) return { replaced: 0, storedBytes: 0 };

  const mover = new PageMover(store, prefix, uses, victims, signal);
  for (const object of sound) await mover.move(await StoredMap.open(store, object, signal));
  let { storedBytes } = mover;
  for (const object of sound) {
    const map = await StoredMap.open(store, object, signal);
    if (!map.tables.packs.some(({ id }) => victims.has(uses.packs.get(id)!))) continue;
    const { root } = map.tables;
    const built = await rebuilt(map, uses, mover.newFrames, signal);
    const key = keys.map(prefix, root, (numberInKey(object.key) ?? 0) + 1);
    await reuse.check({ key, packs: built.packs });
    const bytes = built.finish(root);
    await store.put(key, bytes, signal);
    storedBytes += bytes.length;
  }
  return { replaced: victims.size, storedBytes };
}

/** The map with the places of the pages that were moved. */
async function rebuilt(
  map: StoredMap,
  uses: PackUses,
  newFrames: readonly NewFrame[],
  signal: AbortSignal,
): Promise<MapBuilder> {
  const { tables } = map;
  const places = new PlacesInMap(tables);
  const frames = uses.framesOf(map);
  for (const number of tables.segments.keys()) {
    const old = await map.segment(number, signal);
    const segment = new Segment(tables, number);
    segment.digests.set(old.digests);
    for (let page = 0; page < old.pages; page++) {
      const [frame, position] = [old.frames[page]!, old.positions[page]!];
      const moved = frames[frame]!.moved(position);
      const place = tables.frames[frame]!;
      const to = moved ? newFrames[moved.frame]! : { place, pack: tables.packs[place.pack]! };
      segment.place(page, places.add(to, moved?.position ?? position));
    }
    places.map.addSegment(segment);
  }
  return places.map;
}

/** Brings frames of other maps into a new one, as pages of them come. */
class PlacesInMap {
  readonly map: MapBuilder;
  readonly #packs = new Map<PackPlace, number>();
  readonly #frames = new Map<object, number>();

  constructor(division: Division) {
    this.map = new MapBuilder(division);
  }

  /** The place in the new map of the page at a position of a frame. */
  add({ pack, place }: NewFrame, position: number): PagePlace {
    let frame = this.#frames.get(place);
    if (frame === undefined) {
      const number = this.#packs.get(pack) ?? this.map.addPack(pack);
      this.#packs.set(pack, number);
      frame = this.map.addFrame({ ...place, pack: number });
      this.#frames.set(place, frame);
    }
    return { frame, position };
  }
}
