import {
  ExtentCutter,
  extentDigest,
  pageDigests,
  RootDigest,
} from '../../../clients/format/digests.ts';
import { DIGEST_BYTES } from '../../../clients/format/units.ts';
import type { BackupStore, StoredObject } from '../store/store.ts';
import type { Backups, KeptBackup, Newest } from './backups.ts';
import { Base, type PagePlace } from './base.ts';
import { DamageError } from './coding.ts';
import { checkSameRoot, commit } from './commit.ts';
import { type DatabaseName, keys, numberInKey } from './keys.ts';
import { lostPacks } from './lost-packs.ts';
import { extentBytes, pagesPerExtent, SEGMENT_EXTENTS, Segment } from './map.ts';
import { findMap, MapBuilder, StoredMap } from './map-file.ts';
import { PageWriter } from './page-writer.ts';

/** What an upload declares before its data. */
export interface UploadDeclaration extends DatabaseName {
  uploadId: string;
  sizeBytes: number;
  /** SHA-256 of the whole file, or undefined where it need not be checked. */
  sha256: Buffer | undefined;
  databaseCreatedAtMs: number;
  label: string;
  opaque: boolean;
}

/** A committed upload. */
export interface UploadOutcome {
  backup: KeptBackup;
  unchanged: boolean;
  repeated: boolean;
}

/** What an upload works with. */
export interface UploadContext {
  store: BackupStore;
  backups: Backups;
  /** The state that the upload is compared with. */
  newest: Newest;
  /** The backup that an upload with this id made before; undefined where there was none. */
  committed: KeptBackup | undefined;
  signal: AbortSignal;
}

/**
 * The part of an upload that knows its page size: compares extents, and pages of those that differ,
 * with the newest backup, stores the pages that are new, and commits.
 */
export class PagedUpload implements AsyncDisposable {
  readonly #declared: UploadDeclaration;
  readonly #context: UploadContext;
  readonly #pageSizeBytes: number;
  readonly #base: Base | undefined;
  readonly #adopt: ((segment: Segment, page: number) => PagePlace) | undefined;
  readonly #map: MapBuilder;
  readonly #writer: PageWriter;
  readonly #root: RootDigest;
  readonly #cutter = new ExtentCutter();
  #segment: Segment;
  #extent = 0;

  private constructor(
    declared: UploadDeclaration,
    pageSizeBytes: number,
    context: UploadContext,
    base: Base | undefined,
  ) {
    this.#declared = declared;
    this.#pageSizeBytes = pageSizeBytes;
    this.#context = context;
    this.#base = base;
    this.#root = new RootDigest(declared.sizeBytes);
    this.#map = new MapBuilder({ sizeBytes: declared.sizeBytes, pageSizeBytes });
    this.#adopt = base?.adopter(this.#map);
    this.#segment = new Segment({ sizeBytes: declared.sizeBytes, pageSizeBytes }, 0);
    const { store, backups, signal } = context;
    const { uploadId } = declared;
    const { prefix } = backups;
    const map = this.#map;
    this.#writer = new PageWriter({
      store,
      prefix,
      uploadId,
      pageSizeBytes,
      map,
      signal,
    });
  }

  static async begin(
    declared: UploadDeclaration,
    pageSizeBytes: number,
    context: UploadContext,
  ): Promise<PagedUpload> {
    const base = await openBase(context, pageSizeBytes);
    return new PagedUpload(declared, pageSizeBytes, context, base);
  }

  get storedBytes(): number {
    return this.#writer.storedBytes;
  }

  async take(data: Uint8Array): Promise<void> {
    for (const extent of this.#cutter.cut(data)) await this.#takeExtent(extent);
  }

  async finish(): Promise<UploadOutcome> {
    const rest = this.#cutter.rest();
    if (rest !== undefined) await this.#takeExtent(rest);
    await this.#writer.finish();
    const root = this.#root.finish();
    const content = {
      ...this.#declared,
      sha256: this.#declared.sha256?.toString('hex') ?? '',
      root: root.toString('hex'),
      pageSizeBytes: this.#pageSizeBytes,
    };
    const { store, backups, newest, committed, signal } = this.#context;
    if (committed !== undefined) checkSameRoot(committed, content);
    const sameRoot = baseOf(this.#context)?.head.root === content.root;
    const unchanged = sameRoot && this.#base?.damaged === false;
    const mapBytes = unchanged ? 0 : await this.#storeMap(root);
    if (committed !== undefined) return repeated(committed);
    const storedBytes = this.storedBytes + mapBytes;
    const head = { ...content, storedBytes, unchanged };
    const made = await commit(store, backups, newest, head, signal);
    return { ...made, unchanged: made.backup.head.unchanged };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#writer[Symbol.asyncDispose]();
  }

  /** Stores the map, unless a sound one of the same root is there: that is as complete. */
  async #storeMap(root: Buffer): Promise<number> {
    const { store, backups, signal } = this.#context;
    const found = await findMap(store, backups.prefix, root, signal);
    if (found !== undefined && (await this.#isSound(found))) return 0;
    const generation = 1 + (found === undefined ? 0 : (numberInKey(found.key) ?? 0));
    const bytes = this.#map.finish(root);
    const key = keys.map(backups.prefix, root, generation);
    return (await store.put(key, bytes, signal)) === 'created' ? bytes.length : 0;
  }

  /** Whether a stored map and all packs that it tells of are there, as far as was seen. */
  async #isSound(object: StoredObject): Promise<boolean> {
    if (object.key === this.#base?.key) return !this.#base.damaged;
    const { store, backups, signal } = this.#context;
    const map = await openMap(store, object, signal);
    if (map === undefined) return false;
    return (await lostPacks(store, backups.prefix, map.tables.packs, signal)).size === 0;
  }

  async #takeExtent(bytes: Uint8Array): Promise<void> {
    const pages = pageDigests(bytes, this.#pageSizeBytes);
    const digest = extentDigest(pages);
    this.#root.add(digest);
    const segmentNumber = Math.floor(this.#extent / SEGMENT_EXTENTS);
    const extent = this.#extent % SEGMENT_EXTENTS;
    this.#segment.digests.set(digest, extent * DIGEST_BYTES);
    const base = await this.#base?.segment(segmentNumber);
    const known = base !== undefined && extent < base.extents;
    const same = known && base.extentDigest(extent).equals(digest);
    await this.#takePages(extent, bytes, pages, base, same);
    this.#extent += 1;
    if (extent + 1 === this.#segment.extents) this.#closeSegment(segmentNumber);
  }

  async #takePages(
    extent: number,
    bytes: Uint8Array,
    digests: Buffer,
    base: Segment | undefined,
    same: boolean,
  ): Promise<void> {
    const first = extent * pagesPerExtent(this.#pageSizeBytes);
    const firstInFile = this.#segment.firstExtent * pagesPerExtent(this.#pageSizeBytes) + first;
    for (let at = 0; at * DIGEST_BYTES < digests.length; at++) {
      const digest = digests.subarray(at * DIGEST_BYTES, (at + 1) * DIGEST_BYTES);
      const page = first + at;
      const held = base !== undefined && this.#base!.holds(base, page);
      const place =
        held && (same || (await this.#hasPage(base, page, digest)))
          ? this.#adopt!(base, page)
          : await this.#writer.add(firstInFile + at, this.#pageOf(bytes, at), digest);
      this.#segment.frames[page] = place.frame;
      this.#segment.positions[page] = place.position;
    }
  }

  async #hasPage(base: Segment, page: number, digest: Buffer): Promise<boolean> {
    const known = await this.#base!.pageDigest(base, page);
    return known?.equals(digest) === true;
  }

  #pageOf(extent: Uint8Array, page: number): Uint8Array {
    return extent.subarray(page * this.#pageSizeBytes, (page + 1) * this.#pageSizeBytes);
  }

  #closeSegment(number: number): void {
    this.#map.addSegment(this.#segment);
    const { sizeBytes } = this.#declared;
    const isLast = extentBytes(sizeBytes, this.#extent) <= 0;
    if (isLast) return;
    const division = { sizeBytes, pageSizeBytes: this.#pageSizeBytes };
    this.#segment = new Segment(division, number + 1);
  }
}

/** What an upload comes to whose backup was there before. */
export function repeated(backup: KeptBackup): UploadOutcome {
  return { backup, unchanged: backup.head.unchanged, repeated: true };
}

/**
 * The backup with which an upload is compared: where it made one before, that one, so that what is
 * still there of it is not stored twice; else the newest.
 */
export function baseOf({
  newest,
  committed,
}: Pick<UploadContext, 'newest' | 'committed'>): KeptBackup | undefined {
  return committed ?? newest.backup;
}

/** Opens the backup to compare with; undefined where there is none with such pages, or it is damaged. */
async function openBase(context: UploadContext, pageSizeBytes: number): Promise<Base | undefined> {
  const { store, backups, signal } = context;
  const head = baseOf(context)?.head;
  if (head === undefined || head.pageSizeBytes !== pageSizeBytes) return undefined;
  const object = await findMap(store, backups.prefix, Buffer.from(head.root, 'hex'), signal);
  const map = object && (await openMap(store, object, signal));
  return map && Base.open(store, backups.prefix, map, signal);
}

/** Opens a map; undefined where it is damaged. */
async function openMap(
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
