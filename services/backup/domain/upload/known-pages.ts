import type { Marks } from '../collection/marks.ts';
import type { PagePlace, Segment } from '../packs/map.ts';
import { findMap, type MapBuilder, openIfReadable } from '../packs/map-file.ts';
import { PackIndexes } from '../packs/pack-indexes.ts';
import { Base } from './base.ts';
import { Leftovers, type LeftPages } from './leftovers.ts';
import { baseOf, type UploadContext } from './upload-context.ts';

/** Brings a page of a segment of the base into the new map. */
type Adopt = (segment: Segment, page: number) => PagePlace;

/** The segment of the base at the same place. */
interface OldSegment {
  base: Base;
  segment: Segment;
  adopt: Adopt;
}

/**
 * The pages that an upload need not store, because the store has them: those of the backup with which
 * it is compared, and those that attempts which broke off have left.
 */
export class KnownPages {
  /** The backup; undefined where there is none with such pages, or none that can be read. */
  readonly base: Base | undefined;
  readonly #leftovers: Leftovers;
  readonly #adopt: Adopt | undefined;

  private constructor(base: Base | undefined, leftovers: Leftovers, into: MapBuilder) {
    this.base = base;
    this.#leftovers = leftovers;
    this.#adopt = base?.adopter(into);
  }

  /** Looks for them, and leaves out what is marked. Places of pages will be those in the map `into`. */
  static async open(
    uploadId: string,
    context: UploadContext,
    marks: Marks,
    into: MapBuilder,
  ): Promise<KnownPages> {
    const { store, backups, signal } = context;
    const { prefix } = backups;
    const indexes = new PackIndexes(store, prefix, signal);
    const base = await openBase(context, into.division.pageSizeBytes, marks, indexes);
    const sealed = context.keyId !== undefined;
    const options = { store, prefix, uploadId, sealed, into, indexes, marks, signal };
    return new KnownPages(base, await Leftovers.find(options), into);
  }

  /** What is known of a segment of the new map. */
  async segment(segment: Segment): Promise<KnownSegment> {
    const { index, firstPage, pages } = segment;
    const old = await this.base?.segment(index);
    const left = await this.#leftovers.pages(firstPage, firstPage + pages);
    const known = old && { base: this.base!, segment: old, adopt: this.#adopt! };
    return new KnownSegment(segment, known, left);
  }
}

/** What is known of a segment of a new map: where its pages are, by digests. */
export class KnownSegment {
  readonly #segment: Segment;
  readonly #base: OldSegment | undefined;
  readonly #left: LeftPages;
  /** Something in the segment is new: where nothing is, nothing is worth being sent once more. */
  readonly #changed: boolean;

  constructor(segment: Segment, base: OldSegment | undefined, left: LeftPages) {
    this.#segment = segment;
    this.#base = base;
    this.#left = left;
    const old = base?.segment;
    const extents = Array.from({ length: segment.extents }, (_, extent) => extent);
    this.#changed = !extents.every(
      (extent) => old && extent < old.extents && isSameExtent(segment, old, extent),
    );
  }

  /** Whether nothing is known of it. */
  get empty(): boolean {
    return this.#base === undefined && this.#left.empty;
  }

  /**
   * Places of all pages of an extent, both counted from the segment's first, by the extent's digest;
   * undefined where that is not known, or not all of the pages are there.
   */
  extent(extent: number): PagePlace[] | undefined {
    const digest = this.#segment.extentDigest(extent);
    const { first, count } = this.#segment.pagesOf(extent);
    const { segment, adopt } = this.#base ?? {};
    if (segment !== undefined && extent < segment.extents) {
      const pages = Array.from({ length: count }, (_, at) => first + at);
      const isThere = (page: number) => this.#holds(page);
      if (segment.extentDigest(extent).equals(digest) && pages.every(isThere)) {
        return pages.map((page) => adopt!(segment, page));
      }
    }
    return this.#left.extent(this.#segment.firstPage + first, count, digest);
  }

  /** Place of a page, counted from the segment's first, by its digest; undefined where that is not known. */
  async page(page: number, digest: Buffer): Promise<PagePlace | undefined> {
    const { base, segment, adopt } = this.#base ?? {};
    if (segment !== undefined && this.#holds(page)) {
      const known = await base!.pageDigest(segment, page);
      if (known?.equals(digest) === true) return adopt!(segment, page);
    }
    return this.#left.page(this.#segment.firstPage + page, digest);
  }

  #holds(page: number): boolean {
    const { base, segment } = this.#base!;
    return base.holds(segment, page) && !(this.#changed && base.isWorn(segment, page));
  }
}

function isSameExtent(segment: Segment, old: Segment, extent: number): boolean {
  return segment.extentDigest(extent).equals(old.extentDigest(extent));
}

/** Opens the backup to compare with; undefined where there is none with such pages, or it is damaged. */
async function openBase(
  context: UploadContext,
  pageSizeBytes: number,
  marks: Marks,
  indexes: PackIndexes,
): Promise<Base | undefined> {
  const { store, backups, signal } = context;
  const head = baseOf(context)?.head;
  if (head === undefined || head.pageSizeBytes !== pageSizeBytes) return undefined;
  const object = await findMap(store, backups.prefix, Buffer.from(head.root, 'hex'), signal);
  const map = object && (await openIfReadable(store, object, signal));
  return map && Base.open(store, backups.prefix, map, indexes, marks, signal);
}
