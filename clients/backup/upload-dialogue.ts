import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import type { Send } from '../calls.ts';
import { encodeBytesField, startBytesField } from '../format/bytes-field.ts';
import { FAST_LEVEL, SMALL_LEVEL } from '../format/frames.ts';
import { release } from '../format/memory.ts';
import { EXTENT_BYTES, SEGMENT_EXTENTS, SEGMENTS_IN_FLIGHT } from '../format/units.ts';
import {
  FrameSchema,
  type NeededExtents,
  type NeededPages,
  type UploadAccepted,
  type UploadBackupRequest,
  UploadBackupRequestSchema,
  type UploadBackupResponse,
  type UploadStart,
} from '../gen/backscroll/backup/v1/backup_pb.ts';
import type { Sealer } from '../sealing/sealer.ts';
import { wrongAnswer } from '../stream-faults.ts';
import type { SourceReader } from './database-file.ts';
import type { FileDigests, SegmentDigests } from './file-digests.ts';
import { FrameSender, type SentFrame } from './frame-sender.ts';
import type { UploadProgress } from './upload.ts';
import { Channel } from './upload-channel.ts';

/**
 * Extents whose pages are described at once, and how many times that many may be under way: so few
 * that on a slow connection pages soon follow, and become durable.
 */
const BATCH_EXTENTS = 128;
const BATCHES_IN_FLIGHT = 2;

/** What a dialogue is about. */
interface DialogueOptions {
  readonly start: UploadStart;
  readonly reader: SourceReader;
  readonly digests: FileDigests;
  readonly sizeBytes: number;
  readonly pageSizeBytes: number;
  /** Seals what is sent; undefined where it goes plain. */
  readonly sealer: Sealer | undefined;
  readonly onProgress: (progress: UploadProgress) => void;
}

/** Extents of a segment that were described together. */
interface Batch {
  readonly firstExtent: number;
  readonly extents: number;
  readonly bytes: number;
  readonly endsSegment: boolean;
}

/** Leave to begin so many, to be given back when one is done. */
function leave(count: number): 'free'[] {
  return Array.from({ length: count }, () => 'free');
}

type Part = NonNullable<MessageInitShape<typeof UploadBackupRequestSchema>['part']>;

/**
 * One try of an incremental upload, as three tasks that wait for each other: one tells the extents'
 * digests, segment by segment; one the digests of the pages of those that the service lacks; one sends
 * the pages that it wants.
 */
export class UploadDialogue implements Disposable {
  readonly #options: DialogueOptions;
  readonly #stop = new AbortController();
  readonly #signal = this.#stop.signal;
  readonly #freeSegments = new Channel(this.#signal, leave(SEGMENTS_IN_FLIGHT));
  readonly #freeBatches = new Channel(this.#signal, leave(BATCHES_IN_FLIGHT));
  readonly #hashed = new Channel<SegmentDigests>(this.#signal);
  readonly #accepted = new Channel<UploadAccepted>(this.#signal);
  readonly #neededExtents = new Channel<NeededExtents>(this.#signal);
  readonly #batches = new Channel<Batch>(this.#signal);
  readonly #neededPages = new Channel<NeededPages>(this.#signal);
  #send: Send<UploadBackupRequest> = () => Promise.resolve();
  #wireBytes = 0;
  #sentBytes = 0;
  #skippedBytes = 0;

  constructor(options: DialogueOptions) {
    this.#options = options;
  }

  /** Bytes that were sent to the service. */
  get sentBytes(): number {
    return this.#wireBytes;
  }

  /** Sends all requests; resolves after the last one. */
  async produce(send: Send<UploadBackupRequest>): Promise<void> {
    const { start, reader, digests, sizeBytes, pageSizeBytes, sealer } = this.#options;
    this.#send = send;
    await this.#sendPart({ case: 'start', value: start });
    const tasks = [this.#tellExtents(), this.#tellPages(), this.#sendPages()];
    for (const task of tasks) task.catch((error: unknown) => this.#stop.abort(error));
    await Promise.all(tasks);
    await reader.confirm();
    if (!sealer) return;
    const value = sealer.sealFile({ root: digests.root(), sizeBytes, pageSizeBytes });
    await this.#sendPart({ case: 'seal', value });
  }

  /** Takes an answer. */
  take(part: UploadBackupResponse['part']): void {
    if (part.case === 'accepted') this.#accepted.push(part.value);
    if (part.case === 'neededExtents') this.#neededExtents.push(part.value);
    if (part.case === 'neededPages') this.#neededPages.push(part.value);
  }

  /** Ends what is still under way. */
  [Symbol.dispose](): void {
    this.#stop.abort();
  }

  async #tellExtents(): Promise<void> {
    const { digests, reader } = this.#options;
    for (let index = 0; index < digests.segments; index++) {
      await this.#freeSegments.take();
      const segment = await digests.segment(reader, index, this.#signal);
      this.#hashed.push(segment);
      const firstExtent = BigInt(index * SEGMENT_EXTENTS);
      const value = { firstExtent, digests: segment.extents };
      await this.#sendPart({ case: 'extentDigests', value });
    }
  }

  async #tellPages(): Promise<void> {
    for (let index = 0; index < this.#options.digests.segments; index++) {
      const needed = (await this.#neededExtents.take())!;
      const segment = (await this.#hashed.take())!;
      const first = index * SEGMENT_EXTENTS;
      if (needed.firstExtent !== BigInt(first)) throw wrongAnswer('The service skipped a segment');
      const { offsets } = needed;
      this.#skippedBytes +=
        this.#bytesBetween(first, first + SEGMENT_EXTENTS) - this.#bytesOf(first, offsets);
      this.#report();
      if (offsets.length === 0) this.#freeSegments.push('free');
      for (let at = 0; at < offsets.length; at += BATCH_EXTENTS) {
        await this.#freeBatches.take();
        const isLast = at + BATCH_EXTENTS >= offsets.length;
        await this.#describe(segment, first, offsets.slice(at, at + BATCH_EXTENTS), isLast);
      }
    }
    this.#batches.end();
  }

  /** Sends the digests of the pages of some extents, which are counted from the segment's first. */
  async #describe(
    segment: SegmentDigests,
    first: number,
    offsets: readonly number[],
    endsSegment: boolean,
  ): Promise<void> {
    const { digests, reader } = this.#options;
    const extents: { extent: bigint; digests: Uint8Array }[] = [];
    for (const offset of offsets) {
      const pages = await digests.pages(reader, segment, offset);
      extents.push({ extent: BigInt(first + offset), digests: pages });
    }
    const firstExtent = first + offsets[0]!;
    const bytes = this.#bytesOf(first, offsets);
    this.#batches.push({ firstExtent, extents: offsets.length, bytes, endsSegment });
    await this.#sendPart({ case: 'pageDigests', value: { extents } });
  }

  async #sendPages(): Promise<void> {
    const { reader, sizeBytes, pageSizeBytes, sealer } = this.#options;
    const { baseNumber } = (await this.#accepted.take())!;
    using frames = new FrameSender({
      ...{ reader, sizeBytes, pageSizeBytes, sealer, signal: this.#signal },
      // A whole file is mostly a matter of the processor's time, changes are one of bytes.
      level: baseNumber === 0n ? FAST_LEVEL : SMALL_LEVEL,
      send: async (frame, bytes) => {
        await this.#sendFrame(frame);
        this.#sentBytes += bytes;
        this.#report();
      },
      fail: (error) => this.#stop.abort(error),
    });
    for (;;) {
      const batch = await this.#batches.take();
      if (batch === undefined) break;
      const { runs, firstExtent } = (await this.#neededPages.take())!;
      if (firstExtent !== BigInt(batch.firstExtent)) {
        throw wrongAnswer('The service skipped some extents');
      }
      this.#skippedBytes += batch.bytes - this.#bytesIn(runs);
      this.#report();
      await frames.add(runs, () => {
        this.#freeBatches.push('free');
        if (batch.endsSegment) this.#freeSegments.push('free');
      });
    }
    await frames.finish();
  }

  async #sendPart(part: Part): Promise<void> {
    const message = create(UploadBackupRequestSchema, { part });
    await this.#sendBytes(toBinary(UploadBackupRequestSchema, message));
  }

  async #sendFrame({ pages, codec, data }: SentFrame): Promise<void> {
    const head = toBinary(FrameSchema, create(FrameSchema, { pages, codec }));
    const dataStart = startBytesField(FrameSchema.field.data.number, data.length);
    const field = UploadBackupRequestSchema.field.frame.number;
    await this.#sendBytes(encodeBytesField(field, head, dataStart, data));
  }

  async #sendBytes(bytes: Uint8Array): Promise<void> {
    this.#wireBytes += bytes.length;
    await this.#send(bytes, () => release(bytes));
  }

  #report(): void {
    const { sizeBytes } = this.#options;
    const [sentBytes, skippedBytes] = [this.#sentBytes, this.#skippedBytes];
    this.#options.onProgress({ sentBytes, skippedBytes, sizeBytes });
  }

  /** Bytes of the file from one extent to before another. */
  #bytesBetween(firstExtent: number, endExtent: number): number {
    return Math.min(endExtent * EXTENT_BYTES, this.#options.sizeBytes) - firstExtent * EXTENT_BYTES;
  }

  /** Bytes of some extents, which are counted from `first`; only those of the file's can be asked for. */
  #bytesOf(first: number, offsets: readonly number[]): number {
    const { sizeBytes } = this.#options;
    const end = Math.min(SEGMENT_EXTENTS, Math.ceil(sizeBytes / EXTENT_BYTES) - first);
    let bytes = 0;
    let least = 0;
    for (const offset of offsets) {
      if (offset < least || offset >= end) throw wrongAnswer('The service asked for no extent');
      bytes += this.#bytesBetween(first + offset, first + offset + 1);
      least = offset + 1;
    }
    return bytes;
  }

  /** Bytes of some pages; only those of the file can be asked for. */
  #bytesIn(runs: NeededPages['runs']): number {
    const { sizeBytes, pageSizeBytes } = this.#options;
    let bytes = 0;
    let least = 0;
    for (const { firstPage, count } of runs) {
      const offset = Number(firstPage) * pageSizeBytes;
      const end = Math.min(offset + count * pageSizeBytes, sizeBytes);
      if (offset < least || end <= offset) throw wrongAnswer('The service asked for no page');
      bytes += end - offset;
      least = end;
    }
    return bytes;
  }
}
