import { extentDigest } from '../../../../clients/format/digests.ts';
import { FrameCodec } from '../../../../clients/format/frames.ts';
import { DIGEST_BYTES } from '../../../../clients/format/units.ts';
import { INDEXES_AT_ONCE } from '../../limits.ts';
import type { BackupStore } from '../../store/store.ts';
import type { Marks } from '../collection/marks.ts';
import { inParallel } from '../in-parallel.ts';
import { keys, pageInPackId, uploadHash } from '../keys.ts';
import { listAll } from '../listing.ts';
import type { PagePlace } from '../packs/map.ts';
import type { MapBuilder } from '../packs/map-file.ts';
import type { IndexedFrame, PackIndex } from '../packs/pack.ts';
import type { PackIndexes } from '../packs/pack-indexes.ts';

/** Where leftovers are looked for, and where their pages go. */
interface LeftoversOptions {
  store: BackupStore;
  prefix: string;
  uploadId: string;
  /** Whether the upload is sealed. */
  sealed: boolean;
  /** The map for which places of their pages are given. */
  into: MapBuilder;
  indexes: PackIndexes;
  /** What must be left alone. */
  marks: Marks;
  signal: AbortSignal;
}

/** A pack that an earlier attempt of the upload left. */
interface LeftPack {
  readonly id: string;
  readonly sizeBytes: number;
  readonly firstPage: number;
  /** Its pages are below this one: the first of the attempt's next pack. */
  endPage: number;
  /** Its number in the new map, and those of its frames by their offsets, once they are used. */
  number: number | undefined;
  readonly frames: Map<number, number>;
}

/** A page in a left pack. */
interface LeftPage {
  pack: LeftPack;
  indexOffset: number;
  offset: number;
  frame: IndexedFrame;
  position: number;
}

/**
 * What attempts at an upload that broke off have left: packs that are whole, and stored under the
 * upload's id. Their indexes are read as the pages come that they may hold.
 */
export class Leftovers {
  readonly #packs: readonly LeftPack[];
  readonly #indexes: PackIndexes;
  readonly #into: MapBuilder;
  readonly #sealed: boolean;

  private constructor(
    packs: readonly LeftPack[],
    { indexes, into, sealed }: Pick<LeftoversOptions, 'indexes' | 'into' | 'sealed'>,
  ) {
    this.#packs = packs;
    this.#indexes = indexes;
    this.#into = into;
    this.#sealed = sealed;
  }

  /** Looks for them. */
  static async find(options: LeftoversOptions): Promise<Leftovers> {
    const { store, prefix, uploadId, marks, signal } = options;
    const own = `${keys.packs(prefix)}${uploadHash(uploadId)}-`;
    const packs: LeftPack[] = [];
    for await (const { key, sizeBytes } of listAll(store, own, signal)) {
      const id = key.slice(keys.packs(prefix).length);
      const firstPage = pageInPackId(id);
      if (firstPage === undefined || !marks.mayReusePack(id)) continue;
      const endPage = Number.POSITIVE_INFINITY;
      packs.push({ id, sizeBytes, firstPage, endPage, number: undefined, frames: new Map() });
    }
    endEach(packs);
    return new Leftovers(packs, options);
  }

  /** The pages among them from `firstPage` to before `endPage`. */
  async pages(firstPage: number, endPage: number): Promise<LeftPages> {
    const found = new LeftPages(this.#into);
    const packs = this.#packs.filter(
      (pack) => pack.firstPage < endPage && pack.endPage > firstPage,
    );
    await inParallel(INDEXES_AT_ONCE, packs, async (pack) => {
      const index = await this.#indexes.read(pack);
      if (index !== undefined) this.#addPages(found, pack, index, firstPage, endPage);
    });
    return found;
  }

  #addPages(
    found: LeftPages,
    pack: LeftPack,
    index: PackIndex,
    firstPage: number,
    endPage: number,
  ): void {
    let indexOffset = 0;
    for (const [offset, { storedBytes }] of index) {
      indexOffset = Math.max(indexOffset, offset + storedBytes);
    }
    const { pageSizeBytes } = this.#into.division;
    for (const [offset, frame] of index) {
      // The upload was begun differently before: with pages of another size, or sealed.
      if (Math.ceil(frame.rawBytes / pageSizeBytes) !== frame.pages.length) continue;
      if ((frame.codec === FrameCodec.sealed) !== this.#sealed) continue;
      for (const [position, page] of frame.pages.entries()) {
        if (page < firstPage || page >= endPage) continue;
        found.add(page, { pack, indexOffset, offset, frame, position });
      }
    }
  }
}

/** Some pages of left packs, by their numbers in the file. */
export class LeftPages {
  readonly #into: MapBuilder;
  readonly #pages = new Map<number, LeftPage[]>();

  constructor(into: MapBuilder) {
    this.#into = into;
  }

  /** Whether there are none. */
  get empty(): boolean {
    return this.#pages.size === 0;
  }

  /** Adds a page, of which several states may be there. */
  add(number: number, page: LeftPage): void {
    const states = this.#pages.get(number);
    if (states === undefined) this.#pages.set(number, [page]);
    else states.push(page);
  }

  /** Places of the pages of a whole extent with this digest; undefined where it is not known. */
  extent(firstPage: number, count: number, digest: Uint8Array): PagePlace[] | undefined {
    const pages: LeftPage[] = [];
    for (let number = firstPage; number < firstPage + count; number++) {
      const page = this.#pages.get(number)?.[0];
      if (page === undefined) return undefined;
      pages.push(page);
    }
    if (!extentDigest(Buffer.concat(pages.map(digestOf))).equals(digest)) return undefined;
    return pages.map((page) => this.#place(page));
  }

  /** Place of the page with this digest; undefined where it is not known. */
  page(number: number, digest: Buffer): PagePlace | undefined {
    const page = this.#pages.get(number)?.find((state) => digestOf(state).equals(digest));
    return page && this.#place(page);
  }

  #place({ pack, indexOffset, offset, frame, position }: LeftPage): PagePlace {
    const { id, sizeBytes } = pack;
    pack.number ??= this.#into.addPack({ id, sizeBytes, indexOffset });
    let number = pack.frames.get(offset);
    if (number === undefined) {
      const { storedBytes, rawBytes, codec } = frame;
      number = this.#into.addFrame({ pack: pack.number, offset, storedBytes, rawBytes, codec });
      pack.frames.set(offset, number);
    }
    return { frame: number, position };
  }
}

function digestOf({ frame, position }: LeftPage): Buffer {
  return frame.digests.subarray(position * DIGEST_BYTES, (position + 1) * DIGEST_BYTES);
}

/** Each attempt stored its pages ascending: where one pack begins, the one before it has ended. */
function endEach(packs: LeftPack[]): void {
  packs.sort((one, other) => one.firstPage - other.firstPage);
  const last = new Map<string, LeftPack>();
  for (const pack of packs) {
    const attempt = pack.id.slice(0, pack.id.lastIndexOf('-'));
    const before = last.get(attempt);
    if (before !== undefined) before.endPage = pack.firstPage;
    last.set(attempt, pack);
  }
}
