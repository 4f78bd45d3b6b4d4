import { extentDigest } from '../../../../clients/format/digests.ts';
import type { FrameCodec } from '../../../../clients/format/frames.ts';
import {
  DIGEST_BYTES,
  FRAME_BYTES,
  SEALED_EXTRA_BYTES,
  SEGMENTS_IN_FLIGHT,
} from '../../../../clients/format/units.ts';
import { invalidArgument, type ServiceError } from '../../../common/errors.ts';
import { extentCount, type PagePlace, type Segment } from '../packs/map.ts';
import type { PackWriter } from '../packs/pack-writer.ts';
import { databaseUnit, wrongSize } from './accepted-file.ts';
import { BackupDraft } from './backup-draft.ts';
import { FrameWriter } from './frame-writer.ts';
import type { KnownSegment } from './known-pages.ts';
import type { UploadContext, UploadDeclaration, UploadOutcome } from './upload-context.ts';
import { WantedPages } from './wanted-pages.ts';

/** An upload that sends digests first. */
export interface IncrementalDeclaration extends UploadDeclaration {
  pageSizeBytes: number;
}

/** The digests of the pages of one extent. */
export interface DescribedExtent {
  extent: number;
  /** 16 bytes a page, joined. */
  digests: Uint8Array;
}

/** Consecutive pages of the file. */
export interface PageRun {
  firstPage: number;
  count: number;
}

/** Some pages of the file, packed together. */
export interface FileFrame {
  /** Numbers of the pages, counted from 0. */
  pages: readonly number[];
  codec: FrameCodec;
  data: Uint8Array;
}

/** Length of what a sealing client tells a backup by, in bytes. */
const SEAL_BYTES = 32;

/** A segment under way: first its extents are asked for, then pages of those. */
interface OpenSegment {
  segment: Segment;
  known: KnownSegment;
  /** Extents asked for whose pages' digests have not come, counted from the segment's first. */
  extents: number[];
  /** Pages asked for that have not come, counted likewise, and their digests. */
  pages: WantedPages;
}

/**
 * One upload of a client that sends digests first: tells which extents and which pages are wanted,
 * stores the frames that come, and commits. What may come is fixed by what was asked for: each of
 * extents, page digests and pages in the file's order. Holds a fixed amount of memory.
 *
 * Every `take…` throws ServiceError INVALID_ARGUMENT where what came may not come, or is wrong.
 */
export class IncrementalUpload implements AsyncDisposable {
  readonly #declared: IncrementalDeclaration;
  readonly #draft: BackupDraft;
  readonly #signal: AbortSignal;
  readonly #packs: PackWriter;
  readonly #writer: FrameWriter;
  readonly #open: OpenSegment[] = [];
  #nextSegment = 0;
  #nextExtent = 0;
  #receivedBytes = 0;
  #seal: string | undefined;

  private constructor(
    declared: IncrementalDeclaration,
    draft: BackupDraft,
    { signal, release }: UploadContext,
  ) {
    this.#declared = declared;
    this.#draft = draft;
    this.#signal = signal;
    // Puts go on when the client is gone: they are what it need not send again.
    this.#packs = draft.packWriter(new AbortController().signal);
    const inspect = (pages: readonly number[], bytes: Buffer) => {
      if (pages[0] === 0) this.#checkStart(bytes);
    };
    this.#writer = new FrameWriter(this.#packs, draft.map, inspect, release);
  }

  /** Begins an upload; looks for what the store has of it. */
  static async begin(
    declared: IncrementalDeclaration,
    context: UploadContext,
  ): Promise<IncrementalUpload> {
    const draft = await BackupDraft.begin(declared, declared.pageSizeBytes, context);
    return new IncrementalUpload(declared, draft, context);
  }

  /** Whether the pages come sealed. */
  get sealed(): boolean {
    return this.#declared.key !== undefined;
  }

  /** Bytes of the file that came in frames. */
  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** Bytes of packs that are durable. */
  get storedBytes(): number {
    return this.#packs.storedBytes;
  }

  /** Resolves when the next pack is durable; rejects when something that was taken turns out wrong. */
  news(): Promise<void> {
    return this.#packs.news();
  }

  /** Takes the digests of the next segment's extents; returns the wanted ones, counted from its first. */
  async takeExtents(firstExtent: number, digests: Uint8Array): Promise<number[]> {
    if (this.#open.length >= SEGMENTS_IN_FLIGHT) {
      throw outOfOrder('extent_digests', 'may not come before the pages of earlier segments did');
    }
    if (firstExtent !== this.#nextExtent || firstExtent >= extentCount(this.#declared.sizeBytes)) {
      throw outOfOrder('extent_digests.first_extent', 'is not the first of the next segment');
    }
    const segment = this.#draft.newSegment(this.#nextSegment);
    if (digests.length !== segment.digests.length) {
      const field = 'extent_digests.digests';
      throw invalidArgument('INVALID_FIELD', field, `must be of ${segment.extents} extents`);
    }
    segment.digests.set(digests);
    this.#nextSegment += 1;
    this.#nextExtent += segment.extents;
    const known = await this.#draft.known.segment(segment);
    const extents: number[] = [];
    let mostPages = 0;
    for (let extent = 0; extent < segment.extents; extent++) {
      const places = known.extent(extent);
      const { first, count } = segment.pagesOf(extent);
      if (places && (await this.#isTrusted(segment, extent, places[0]!))) {
        for (const [at, place] of places.entries()) segment.place(first + at, place);
      } else {
        extents.push(extent);
        mostPages += count;
      }
    }
    this.#open.push({ segment, known, extents, pages: new WantedPages(mostPages) });
    this.#closeComplete();
    return [...extents];
  }

  /** Takes the digests of the pages of the next wanted extents of a segment; returns the wanted pages. */
  async takePageDigests(described: readonly DescribedExtent[]): Promise<PageRun[]> {
    const open = this.#open.find(({ extents }) => extents.length > 0);
    const wanted: PageRun[] = [];
    for (const { extent, digests } of described) {
      const next = open?.extents[0];
      if (open === undefined || extent - open.segment.firstExtent !== next) {
        throw outOfOrder('page_digests.extents', 'are not the next that were asked for');
      }
      this.#checkPageDigests(open.segment, next, digests);
      open.extents.shift();
      await this.#askForPages(open, next, digests, wanted);
    }
    this.#closeComplete();
    return wanted;
  }

  /** Takes the next wanted pages of a segment, and returns when there is room for more. */
  async takeFrame({ pages, codec, data }: FileFrame): Promise<void> {
    const open = this.#open.find(({ pages }) => pages.count > 0);
    const rawBytes = this.#bytesOf(pages);
    if (pages.length === 0 || rawBytes > FRAME_BYTES) {
      throw invalidArgument('INVALID_FIELD', 'frame.pages', `must be 1 to ${FRAME_BYTES} bytes`);
    }
    if (data.length > rawBytes + (this.sealed ? SEALED_EXTRA_BYTES : 0)) {
      throw invalidArgument('INVALID_FIELD', 'frame.data', 'is longer than the pages themselves');
    }
    const { segment, pages: wanted } = open ?? {};
    if (segment === undefined || !wanted!.beginWith(pages, segment.firstPage)) {
      throw outOfOrder('frame.pages', 'are not the next that were asked for');
    }
    const digests = wanted!.take(pages.length);
    const frame = await this.#writer.add({ pages, digests, rawBytes, codec, data });
    for (let position = 0; position < pages.length; position++) {
      segment.place(pages[position]! - segment.firstPage, { frame, position });
    }
    this.#receivedBytes += rawBytes;
    this.#closeComplete();
  }

  /** Takes what a sealing client tells the backup by: its last message. */
  takeSeal(seal: Uint8Array): void {
    if (!this.sealed || !this.#isWhole || this.#seal !== undefined) {
      throw outOfOrder('seal', 'may come at the end of a sealed upload alone');
    }
    if (seal.length !== SEAL_BYTES) {
      throw invalidArgument('INVALID_FIELD', 'seal', `must be ${SEAL_BYTES} bytes`);
    }
    this.#seal = Buffer.from(seal).toString('hex');
  }

  /** Commits, once all that was asked for has come. */
  async finish(): Promise<UploadOutcome> {
    if (!this.#isWhole) throw wrongSize('fewer');
    if (this.sealed && this.#seal === undefined) {
      throw invalidArgument('MISSING_FIELD', 'seal', 'is required in a sealed upload');
    }
    await this.#writer.finish();
    return this.#draft.commit(this.storedBytes, this.#seal);
  }

  /** Stores what came before the client was gone, ends the rest, and returns when its memory is free. */
  async [Symbol.asyncDispose](): Promise<void> {
    // The call's own error tells why it ended; what can't be kept is only sent again.
    if (this.#signal.aborted) await this.#writer.finish().catch(() => {});
    await this.#packs[Symbol.asyncDispose]();
    await this.#writer[Symbol.asyncDispose]();
  }

  /** Asks for those pages of an extent, counted from the segment's first, that are not known. */
  async #askForPages(
    { segment, known, pages }: OpenSegment,
    extent: number,
    digests: Uint8Array,
    wanted: PageRun[],
  ): Promise<void> {
    const { first, count } = segment.pagesOf(extent);
    const ask = (page: number, pageDigests: Uint8Array) => {
      pages.add(page, pageDigests);
      addRun(wanted, segment.firstPage + page, pageDigests.length / DIGEST_BYTES);
    };
    // A first upload's pages need not be looked for one by one.
    if (known.empty) return ask(first, digests);
    for (let at = 0; at < count; at++) {
      const page = first + at;
      const digest = Buffer.from(digests.subarray(at * DIGEST_BYTES, (at + 1) * DIGEST_BYTES));
      const place = await known.page(page, digest);
      if (place && (await this.#isTrusted(segment, page, place))) segment.place(page, place);
      else ask(page, digest);
    }
  }

  get #isWhole(): boolean {
    return this.#nextExtent === extentCount(this.#declared.sizeBytes) && this.#open.length === 0;
  }

  #closeComplete(): void {
    for (;;) {
      const [first] = this.#open;
      if (first === undefined || first.extents.length > 0 || first.pages.count > 0) return;
      this.#draft.addSegment(first.segment);
      this.#open.shift();
    }
  }

  #checkPageDigests(segment: Segment, extent: number, digests: Uint8Array): void {
    const field = 'page_digests.extents.digests';
    const { count } = segment.pagesOf(extent);
    if (digests.length !== count * DIGEST_BYTES) {
      throw invalidArgument('INVALID_FIELD', field, `must be of ${count} pages`);
    }
    if (!extentDigest(digests).equals(segment.extentDigest(extent))) {
      throw invalidArgument('DIGEST_MISMATCH', field, 'do not have the digest of their extent');
    }
  }

  /**
   * Whether a known page or extent can be used as it is: the file's first page tells what file it is,
   * and what can't be read in the store is asked for.
   */
  async #isTrusted(segment: Segment, number: number, place: PagePlace): Promise<boolean> {
    const { opaque } = this.#declared;
    if (opaque || this.sealed || segment.index > 0 || number > 0) return true;
    const page = await this.#draft.read(place);
    try {
      if (page !== undefined) {
        this.#checkStart(page);
        return true;
      }
    } catch {
      // It may be damaged, and what the client sends can tell.
    }
    this.#draft.known.base?.markDamaged();
    return false;
  }

  #checkStart(page: Uint8Array): void {
    const { opaque, sizeBytes, pageSizeBytes } = this.#declared;
    if (opaque) return;
    const unit = databaseUnit(page, sizeBytes, 'frame');
    if (unit === pageSizeBytes) return;
    const field = 'start.page_size_bytes';
    throw invalidArgument('INVALID_FIELD', field, `is not that of the database, which is ${unit}`);
  }

  /** Bytes of some pages of the file, the last of which may be shorter. */
  #bytesOf(pages: readonly number[]): number {
    const { sizeBytes, pageSizeBytes } = this.#declared;
    const last = Math.floor((sizeBytes - 1) / pageSizeBytes);
    const short = pages.at(-1) === last ? (last + 1) * pageSizeBytes - sizeBytes : 0;
    return pages.length * pageSizeBytes - short;
  }
}

/** Adds pages behind those of the runs, which are ascending. */
function addRun(runs: PageRun[], firstPage: number, count: number): void {
  const last = runs.at(-1);
  if (last !== undefined && last.firstPage + last.count === firstPage) last.count += count;
  else runs.push({ firstPage, count });
}

function outOfOrder(field: string, description: string): ServiceError {
  return invalidArgument('OUT_OF_ORDER', field, description);
}
