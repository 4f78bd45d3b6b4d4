import { FrameCodec } from '../../../../clients/format/frames.ts';
import { WORN_SHARE } from '../../limits.ts';
import type { BackupStore } from '../../store/store.ts';
import { DamageError } from '../coding.ts';
import type { Marks } from '../collection/marks.ts';
import { lostPacks } from '../packs/lost-packs.ts';
import type { PackPlace, PagePlace, Segment } from '../packs/map.ts';
import type { MapBuilder, StoredMap } from '../packs/map-file.ts';
import type { PackIndexes } from '../packs/pack-indexes.ts';

/**
 * The backup with which an upload is compared. What of it is damaged or gone counts as unknown: the
 * upload then stores those pages anew.
 */
export class Base {
  readonly #indexes: PackIndexes;
  readonly #map: StoredMap;
  readonly #signal: AbortSignal;
  readonly #lost: ReadonlySet<number>;
  readonly #worn: Uint8Array;
  #damaged: boolean;

  private constructor(
    map: StoredMap,
    lost: ReadonlySet<number>,
    worn: Uint8Array,
    damaged: boolean,
    indexes: PackIndexes,
    signal: AbortSignal,
  ) {
    this.#indexes = indexes;
    this.#map = map;
    this.#lost = lost;
    this.#worn = worn;
    this.#damaged = damaged;
    this.#signal = signal;
  }

  /** Opens what a map tells of, and looks for packs that are lost (see `lostPacks`), or marked. */
  static async open(
    store: BackupStore,
    prefix: string,
    map: StoredMap,
    indexes: PackIndexes,
    marks: Marks,
    signal: AbortSignal,
  ): Promise<Base> {
    const lost = await lostPacks(store, prefix, map.tables.packs, marks, signal);
    const damaged = lost.size > 0 || !marks.mayReuseMap(map.key);
    return new Base(map, lost, await wornFrames(map, signal), damaged, indexes, signal);
  }

  /** Key of the base's map. */
  get key(): string {
    return this.#map.key;
  }

  /** Packs that the base's map tells of. */
  get packs(): readonly PackPlace[] {
    return this.#map.tables.packs;
  }

  /** Whether something of the base was found damaged or gone, or may not be reused. */
  get damaged(): boolean {
    return this.#damaged;
  }

  /** Tells that something of the base was found damaged by whoever read it. */
  markDamaged(): void {
    this.#damaged = true;
  }

  /** A segment of the base's map; undefined where there is none, or none that can be read. */
  async segment(number: number): Promise<Segment | undefined> {
    if (number >= this.#map.tables.segments.length) return undefined;
    try {
      return await this.#map.segment(number, this.#signal);
    } catch (error) {
      if (!(error instanceof DamageError)) throw error;
      this.#damaged = true;
      return undefined;
    }
  }

  /** Whether a page of a segment, counted from its first, is in a pack that is not lost. */
  holds(segment: Segment, page: number): boolean {
    if (page >= segment.pages) return false;
    return !this.#lost.has(this.#map.tables.frames[segment.frames[page]!]!.pack);
  }

  /** Whether a page of a segment, counted from its first, is in a frame that should not be needed for long. */
  isWorn(segment: Segment, page: number): boolean {
    return this.#worn[segment.frames[page]!] === 1;
  }

  /** Digest of a page that the base holds; undefined where it can't be known. */
  async pageDigest(segment: Segment, page: number): Promise<Buffer | undefined> {
    const found = await this.#indexes.pageDigest(this.#map.tables, segment, page);
    if (found === undefined) this.#damaged = true;
    return found;
  }

  /** Returns a function that brings places of the base's map into a new map. */
  adopter(into: MapBuilder): (segment: Segment, page: number) => PagePlace {
    const { packs, frames } = this.#map.tables;
    const newPacks = new Int32Array(packs.length).fill(-1);
    const newFrames = new Int32Array(frames.length).fill(-1);
    return (segment, page) => {
      const old = segment.frames[page]!;
      if (newFrames[old] === -1) {
        const frame = frames[old]!;
        if (newPacks[frame.pack] === -1) newPacks[frame.pack] = into.addPack(packs[frame.pack]!);
        newFrames[old] = into.addFrame({ ...frame, pack: newPacks[frame.pack]! });
      }
      return { frame: newFrames[old]!, position: segment.positions[page]! };
    };
  }
}

/**
 * Sealed frames of which the map needs few pages: 1 for each of them. Compaction can't take them apart;
 * the client sends these pages once more, and so the whole frame gets unneeded.
 */
async function wornFrames(map: StoredMap, signal: AbortSignal): Promise<Uint8Array> {
  const { frames, segments, pageSizeBytes } = map.tables;
  const worn = new Uint8Array(frames.length);
  if (!frames.some(({ codec }) => codec === FrameCodec.sealed)) return worn;
  const needed = new Uint16Array(frames.length);
  for (const number of segments.keys()) {
    const segment = await map.segment(number, signal);
    for (let page = 0; page < segment.pages; page++) needed[segment.frames[page]!]! += 1;
  }
  for (const [number, { codec, rawBytes }] of frames.entries()) {
    const isWorn = needed[number]! * pageSizeBytes < WORN_SHARE * rawBytes;
    if (codec === FrameCodec.sealed && isWorn) worn[number] = 1;
  }
  return worn;
}
