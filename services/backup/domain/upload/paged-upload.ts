import { ExtentCutter, extentDigest, pageDigests } from '../../../../clients/format/digests.ts';
import { DIGEST_BYTES } from '../../../../clients/format/units.ts';
import type { Segment } from '../packs/map.ts';
import type { PackWriter } from '../packs/pack-writer.ts';
import { PageWriter } from '../packs/page-writer.ts';
import type { BackupDraft } from './backup-draft.ts';
import type { KnownSegment } from './known-pages.ts';
import type { UploadOutcome } from './upload-context.ts';

/** A segment that is being filled, and what is known of it. */
interface OpenSegment {
  segment: Segment;
  known: KnownSegment;
}

/**
 * The part of a plain upload that knows its page size: stores the pages that the store does not have,
 * and commits.
 */
export class PagedUpload implements AsyncDisposable {
  readonly #draft: BackupDraft;
  readonly #packs: PackWriter;
  readonly #writer: PageWriter;
  readonly #cutter = new ExtentCutter();
  #current: OpenSegment | undefined;
  #nextSegment = 0;
  #extent = 0;

  /** Where the signal fires, what is under way ends. */
  constructor(draft: BackupDraft, signal: AbortSignal) {
    this.#draft = draft;
    this.#packs = draft.packWriter(signal);
    this.#writer = new PageWriter(this.#packs, draft.map);
  }

  /** Bytes of packs that are durable. */
  get storedBytes(): number {
    return this.#packs.storedBytes;
  }

  /** Takes the next bytes, and returns when it has room for more. */
  async take(data: Uint8Array): Promise<void> {
    for (const extent of this.#cutter.cut(data)) await this.#takeExtent(extent);
  }

  /** Commits, once all bytes were taken. */
  async finish(): Promise<UploadOutcome> {
    const rest = this.#cutter.rest();
    if (rest !== undefined) await this.#takeExtent(rest);
    await this.#writer.finish();
    return this.#draft.commit(this.storedBytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#packs[Symbol.asyncDispose]();
    await this.#writer[Symbol.asyncDispose]();
  }

  async #takeExtent(bytes: Uint8Array): Promise<void> {
    this.#current ??= await this.#nextOpen();
    const { segment } = this.#current;
    const extent = this.#extent - segment.firstExtent;
    const digests = pageDigests(bytes, this.#draft.map.division.pageSizeBytes);
    segment.digests.set(extentDigest(digests), extent * DIGEST_BYTES);
    await this.#takePages(this.#current, extent, bytes, digests);
    this.#extent += 1;
    if (extent + 1 < segment.extents) return;
    this.#draft.addSegment(segment);
    this.#current = undefined;
  }

  async #nextOpen(): Promise<OpenSegment> {
    const segment = this.#draft.newSegment(this.#nextSegment);
    this.#nextSegment += 1;
    return { segment, known: await this.#draft.known.segment(segment) };
  }

  async #takePages(
    { segment, known }: OpenSegment,
    extent: number,
    bytes: Uint8Array,
    digests: Buffer,
  ): Promise<void> {
    const { pageSizeBytes } = this.#draft.map.division;
    const whole = known.extent(extent);
    const { first, count } = segment.pagesOf(extent);
    for (let at = 0; at < count; at++) {
      const digest = digests.subarray(at * DIGEST_BYTES, (at + 1) * DIGEST_BYTES);
      const place = whole?.[at] ?? (await known.page(first + at, digest));
      const page = bytes.subarray(at * pageSizeBytes, (at + 1) * pageSizeBytes);
      const number = segment.firstPage + first + at;
      segment.place(first + at, place ?? (await this.#writer.add(number, page, digest)));
    }
  }
}
