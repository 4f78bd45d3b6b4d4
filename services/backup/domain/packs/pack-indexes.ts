import { DIGEST_BYTES } from '../../../../clients/format/units.ts';
import { INDEX_CACHE_BYTES } from '../../limits.ts';
import type { BackupStore } from '../../store/store.ts';
import { DamageError } from '../coding.ts';
import { keys } from '../keys.ts';
import { readFooter } from './footer.ts';
import type { MapTables, PackPlace, Segment } from './map.ts';
import { PACK_MAGIC, type PackIndex, readPackIndex } from './pack.ts';

/** A pack, and where in it the index begins, if that is known. */
type KnownPack = Pick<PackPlace, 'id' | 'sizeBytes'> & Partial<PackPlace>;

/** Read first from a pack's end where nothing tells how long its index is: most are shorter. */
const END_BYTES = 64 * 1024;

/**
 * Indexes of stored packs, of which the last ones are kept. Pages are compared ascending, and the packs
 * of each upload are, too: the oldest index is the first done with.
 */
export class PackIndexes {
  readonly #store: BackupStore;
  readonly #prefix: string;
  readonly #signal: AbortSignal;
  readonly #kept = new Map<string, { index: PackIndex | undefined; bytes: number }>();
  #keptBytes = 0;

  constructor(store: BackupStore, prefix: string, signal: AbortSignal) {
    this.#store = store;
    this.#prefix = prefix;
    this.#signal = signal;
  }

  /** The index of a pack; undefined where that is gone or damaged. */
  async read({ id, sizeBytes, indexOffset }: KnownPack): Promise<PackIndex | undefined> {
    const known = this.#kept.get(id);
    if (known !== undefined) return known.index;
    const guessBytes = indexOffset === undefined ? END_BYTES : sizeBytes - indexOffset;
    const object = { key: keys.pack(this.#prefix, id), sizeBytes };
    try {
      const end = await readFooter(this.#store, object, PACK_MAGIC, guessBytes, this.#signal);
      const index = readPackIndex(end, id);
      this.#keep(id, index, end.length);
      return index;
    } catch (error) {
      if (!(error instanceof DamageError)) throw error;
      this.#keep(id, undefined, 0);
      return undefined;
    }
  }

  /** Digest of a page of a map's segment, counted from its first; undefined where it can't be known. */
  async pageDigest(
    { packs, frames }: Pick<MapTables, 'packs' | 'frames'>,
    segment: Segment,
    page: number,
  ): Promise<Buffer | undefined> {
    const place = frames[segment.frames[page]!]!;
    const index = await this.read(packs[place.pack]!);
    const at = segment.positions[page]! * DIGEST_BYTES;
    const found = index?.get(place.offset)?.digests.subarray(at, at + DIGEST_BYTES);
    return found?.length === DIGEST_BYTES ? found : undefined;
  }

  #keep(id: string, index: PackIndex | undefined, bytes: number): void {
    for (const [oldest, held] of this.#kept) {
      if (this.#keptBytes + bytes <= INDEX_CACHE_BYTES) break;
      this.#kept.delete(oldest);
      this.#keptBytes -= held.bytes;
    }
    // Another reader of the same one may have been quicker.
    this.#keptBytes += bytes - (this.#kept.get(id)?.bytes ?? 0);
    this.#kept.set(id, { index, bytes });
  }
}
