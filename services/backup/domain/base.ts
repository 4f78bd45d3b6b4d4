import { DIGEST_BYTES } from '../../../clients/format/units.ts';
import { INDEX_CACHE_BYTES } from '../limits.ts';
import type { BackupStore } from '../store/store.ts';
import { DamageError } from './coding.ts';
import { keys } from './keys.ts';
import { lostPacks } from './lost-packs.ts';
import type { Segment } from './map.ts';
import type { MapBuilder, StoredMap } from './map-file.ts';
import { type PackIndex, readPackIndex } from './pack.ts';

/** Where a page is: in which of a map's frames, and at which position. */
export interface PagePlace {
  frame: number;
  position: number;
}

/**
 * The backup with which an upload is compared. What of it is damaged or gone counts as unknown: the
 * upload then stores those pages anew.
 */
export class Base {
  readonly #store: BackupStore;
  readonly #prefix: string;
  readonly #map: StoredMap;
  readonly #signal: AbortSignal;
  readonly #lost: ReadonlySet<number>;
  #damaged: boolean;
  readonly #indexes = new Map<number, { index: PackIndex | undefined; bytes: number }>();
  #indexBytes = 0;
  #segment: { number: number; segment: Segment | undefined } | undefined;

  private constructor(
    store: BackupStore,
    prefix: string,
    map: StoredMap,
    lost: ReadonlySet<number>,
    signal: AbortSignal,
  ) {
    this.#store = store;
    this.#prefix = prefix;
    this.#map = map;
    this.#lost = lost;
    this.#damaged = lost.size > 0;
    this.#signal = signal;
  }

  /** Opens what a map tells of, and looks for packs that are lost (see `lostPacks`). */
  static async open(
    store: BackupStore,
    prefix: string,
    map: StoredMap,
    signal: AbortSignal,
  ): Promise<Base> {
    const lost = await lostPacks(store, prefix, map.tables.packs, signal);
    return new Base(store, prefix, map, lost, signal);
  }

  /** Key of the base's map. */
  get key(): string {
    return this.#map.key;
  }

  /** Whether something of the base was found damaged or gone. */
  get damaged(): boolean {
    return this.#damaged;
  }

  /** A segment of the base's map; undefined where there is none, or none that can be read. */
  async segment(number: number): Promise<Segment | undefined> {
    if (this.#segment?.number !== number) {
      const exists = number < this.#map.tables.segments.length;
      const segment = exists
        ? await this.#ifReadable(this.#map.segment(number, this.#signal))
        : undefined;
      this.#segment = { number, segment };
    }
    return this.#segment.segment;
  }

  /** Whether a page of a segment, counted from its first, is in a pack that is not lost. */
  holds(segment: Segment, page: number): boolean {
    if (page >= segment.pages) return false;
    return !this.#lost.has(this.#map.tables.frames[segment.frames[page]!]!.pack);
  }

  /** Digest of a page that the base holds; undefined where it can't be known. */
  async pageDigest(segment: Segment, page: number): Promise<Buffer | undefined> {
    const place = this.#map.tables.frames[segment.frames[page]!]!;
    const index = this.#indexes.get(place.pack)?.index ?? (await this.#loadIndex(place.pack));
    const at = segment.positions[page]! * DIGEST_BYTES;
    const found = index?.get(place.offset)?.digests.subarray(at, at + DIGEST_BYTES);
    return found?.length === DIGEST_BYTES ? found : undefined;
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

  async #loadIndex(pack: number): Promise<PackIndex | undefined> {
    const known = this.#indexes.get(pack);
    if (known !== undefined) return known.index;
    const { id, indexOffset, sizeBytes } = this.#map.tables.packs[pack]!;
    const bytes = sizeBytes - indexOffset;
    const read = this.#store.get(
      keys.pack(this.#prefix, id),
      { offset: indexOffset, length: bytes },
      this.#signal,
    );
    const index = await this.#ifReadable(read.then((end) => end && readPackIndex(end)));
    // Pages come ascending, and so do the packs of each upload: the oldest read is the first done with.
    for (const [oldest, held] of this.#indexes) {
      if (this.#indexBytes + bytes <= INDEX_CACHE_BYTES) break;
      this.#indexes.delete(oldest);
      this.#indexBytes -= held.bytes;
    }
    this.#indexes.set(pack, { index, bytes });
    this.#indexBytes += bytes;
    return index;
  }

  async #ifReadable<T>(reading: Promise<T | undefined>): Promise<T | undefined> {
    try {
      const found = await reading;
      if (found === undefined) this.#damaged = true;
      return found;
    } catch (error) {
      if (!(error instanceof DamageError)) throw error;
      this.#damaged = true;
      return undefined;
    }
  }
}
