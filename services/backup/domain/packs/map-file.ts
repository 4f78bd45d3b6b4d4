import { digest } from '../../../../clients/format/digests.ts';
import type { BackupStore, StoredObject } from '../../store/store.ts';
import { checkDigest, DamageError, readTrailer, TRAILER_BYTES, trailer } from '../coding.ts';
import { keys } from '../keys.ts';
import { readFooter } from './footer.ts';
import {
  type Division,
  decodeTables,
  encodeTables,
  type FramePlace,
  MAP_MAGIC,
  type MapTables,
  type PackPlace,
  Segment,
} from './map.ts';

/** Read first from a map's end: it holds the tables of most maps whole. */
const END_BYTES = 256 * 1024;

/** The newest generation of the map of a root; undefined where it has none. */
export async function findMap(
  store: BackupStore,
  prefix: string,
  root: Uint8Array,
  signal: AbortSignal,
): Promise<StoredObject | undefined> {
  return (await store.list(keys.maps(prefix, root), { limit: 1 }, signal))[0];
}

/** Opens a map; undefined where it is damaged. */
export async function openIfReadable(
  store: BackupStore,
  object: StoredObject,
  signal: AbortSignal,
): Promise<StoredMap | undefined> {
  try {
    return await StoredMap.open(store, object, signal);
  } catch (error) {
    if (error instanceof DamageError) return undefined;
    throw error;
  }
}

/** A stored map, read segment by segment. */
export class StoredMap {
  /** What the map says besides its segments. */
  readonly tables: MapTables;
  readonly #store: BackupStore;
  /** Key of the map. */
  readonly key: string;
  readonly #offsets: number[] = [];

  private constructor(store: BackupStore, key: string, tables: MapTables) {
    this.#store = store;
    this.key = key;
    this.tables = tables;
    let offset = 0;
    for (const segment of tables.segments) {
      this.#offsets.push(offset);
      offset += segment.lengthBytes;
    }
  }

  /** Reads the tables of a map. Throws DamageError where they are not as written. */
  static async open(
    store: BackupStore,
    object: StoredObject,
    signal: AbortSignal,
  ): Promise<StoredMap> {
    const end = await readFooter(store, object, MAP_MAGIC, END_BYTES, signal);
    const footer = end.subarray(0, -TRAILER_BYTES);
    checkDigest(footer, readTrailer(end, MAP_MAGIC).check, 'tables');
    return new StoredMap(store, object.key, decodeTables(footer));
  }

  /** Whether all its segments are as written. */
  async isWhole(signal: AbortSignal): Promise<boolean> {
    try {
      for (const index of this.tables.segments.keys()) await this.segment(index, signal);
      return true;
    } catch (error) {
      if (error instanceof DamageError) return false;
      throw error;
    }
  }

  /** Reads a segment. Throws DamageError where it is not as written. */
  async segment(index: number, signal: AbortSignal): Promise<Segment> {
    const place = this.tables.segments[index];
    if (place === undefined) throw new DamageError('no such segment');
    const range = { offset: this.#offsets[index]!, length: place.lengthBytes };
    const bytes = await this.#store.get(this.key, range, signal);
    if (bytes === undefined) throw new DamageError('the map is gone');
    checkDigest(bytes, place.digest, 'segment');
    return Segment.decode(bytes, this.tables, index, this.tables.frames.length);
  }
}

/** The place of a frame that is not in a pack yet; it is completed when it is. */
export function newFramePlace(): FramePlace {
  return { pack: -1, offset: 0, storedBytes: 0, rawBytes: 0, codec: 0 };
}

/** Puts a new map together. Frames are numbered when they begin, and described once they are packed. */
export class MapBuilder {
  /** How the file is divided. */
  readonly division: Division;
  readonly #packs: PackPlace[] = [];
  readonly #frames: FramePlace[] = [];
  readonly #segments: Buffer[] = [];

  constructor(division: Division) {
    this.division = division;
  }

  /** Where a frame is: the pack's id, and the place in it. */
  frame(number: number): { packId: string; place: FramePlace } {
    const place = this.#frames[number]!;
    return { packId: this.#packs[place.pack]!.id, place };
  }

  /** The packs that were added. */
  get packs(): readonly PackPlace[] {
    return this.#packs;
  }

  /** The frames that were added. */
  get frames(): readonly FramePlace[] {
    return this.#frames;
  }

  /** Adds a pack, and returns its number in this map. */
  addPack(pack: PackPlace): number {
    return this.#packs.push(pack) - 1;
  }

  /** Adds a frame, and returns its number in this map. The object may be completed until `finish`. */
  addFrame(frame: FramePlace): number {
    return this.#frames.push(frame) - 1;
  }

  /** Adds the next segment, which is complete. */
  addSegment(segment: Segment): void {
    this.#segments.push(Buffer.from(segment.encode()));
  }

  /** The map as stored. */
  finish(root: Buffer): Buffer {
    const tables = encodeTables({
      ...this.division,
      root,
      packs: this.#packs,
      frames: this.#frames,
      segments: this.#segments.map((bytes) => ({
        lengthBytes: bytes.length,
        digest: digest(bytes),
      })),
    });
    return Buffer.concat([...this.#segments, tables, trailer(tables, MAP_MAGIC)]);
  }
}
