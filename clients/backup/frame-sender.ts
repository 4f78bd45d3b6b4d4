import { FrameCodec, FramePacker, type PackedFrame } from '../format/frames.ts';
import { FRAME_BYTES, WINDOW_BYTES } from '../format/units.ts';
import type { Frame, PageRun } from '../gen/backscroll/backup/v1/backup_pb.ts';
import type { Sealer } from '../sealing/sealer.ts';
import type { SourceReader } from './database-file.ts';
import { Channel } from './upload-channel.ts';

/** Frames that are packed at once: as many as Node has threads for it. */
const FRAMES_AT_ONCE = 4;

/** What one frame is packed with. */
interface Packing {
  readonly packer: FramePacker;
  readonly bytes: Buffer;
}

/** A packed frame, as it is sent. */
export type SentFrame = Pick<Frame, 'pages' | 'codec' | 'data'>;

/** Where frames come from, and where they go. */
interface FrameSenderOptions {
  readonly reader: SourceReader;
  readonly sizeBytes: number;
  readonly pageSizeBytes: number;
  /** Level of zstd that the frames are packed with. */
  readonly level: number;
  /** Seals the frames; undefined where they are plain. */
  readonly sealer: Sealer | undefined;
  /** Sends a frame; resolves when the next one may be sent. */
  readonly send: (frame: SentFrame, bytes: number) => Promise<void>;
  /** Told of an error of a frame that nobody waits for. */
  readonly fail: (error: unknown) => void;
  readonly signal: AbortSignal;
}

/** Consecutive pages. */
interface PageRange {
  readonly first: number;
  readonly count: number;
}

/** Reads pages, packs them off the main thread, some frames at once, and sends the frames in order. */
export class FrameSender implements Disposable {
  readonly #options: FrameSenderOptions;
  readonly #packings: readonly Packing[];
  readonly #idle: Channel<Packing>;
  #sent: Promise<void> = Promise.resolve();

  constructor(options: FrameSenderOptions) {
    this.#options = options;
    this.#packings = Array.from({ length: FRAMES_AT_ONCE }, () => ({
      packer: new FramePacker(options.level),
      bytes: Buffer.allocUnsafeSlow(FRAME_BYTES),
    }));
    this.#idle = new Channel(options.signal, this.#packings);
  }

  /** Takes pages, ascending, and resolves when there is room for more; `done` is called when they were sent. */
  async add(runs: readonly PageRun[], done: () => void): Promise<void> {
    const { pageSizeBytes, sealer } = this.#options;
    // The service can cut no sealed frame for a download: what is in one is wanted at once.
    const within = sealer ? WINDOW_BYTES / pageSizeBytes : Number.POSITIVE_INFINITY;
    for (const ranges of framesOf(runs, FRAME_BYTES / pageSizeBytes, within)) {
      await this.#pack(ranges);
    }
    this.#afterwards(async () => done());
  }

  /** Resolves when all were sent. */
  finish(): Promise<void> {
    return this.#sent;
  }

  [Symbol.dispose](): void {
    for (const { packer } of this.#packings) packer[Symbol.dispose]();
  }

  async #pack(ranges: readonly PageRange[]): Promise<void> {
    const packing = (await this.#idle.take())!;
    const bytes = await this.#read(ranges, packing.bytes);
    const packed = packing.packer.pack(bytes);
    packed.catch(this.#options.fail);
    this.#afterwards(async () => {
      const pages = ranges.flatMap(({ first, count }) =>
        Array.from({ length: count }, (_, at) => first + at),
      );
      const { codec, data } = this.#seal(pages, await packed);
      await this.#options.send({ pages: pages.map(BigInt), codec, data }, bytes.length);
      this.#idle.push(packing);
    });
  }

  #seal(pages: readonly number[], packed: PackedFrame): PackedFrame {
    const { sealer } = this.#options;
    if (!sealer) return packed;
    return { codec: FrameCodec.sealed, data: sealer.sealFrame(pages, packed) };
  }

  async #read(ranges: readonly PageRange[], into: Buffer): Promise<Buffer> {
    const { reader, sizeBytes, pageSizeBytes } = this.#options;
    const reads: Promise<void>[] = [];
    let length = 0;
    for (const { first, count } of ranges) {
      const offset = first * pageSizeBytes;
      const bytes = Math.min(count * pageSizeBytes, sizeBytes - offset);
      reads.push(reader.read(into.subarray(length, length + bytes), offset));
      length += bytes;
    }
    await Promise.all(reads);
    return into.subarray(0, length);
  }

  #afterwards(work: () => Promise<void>): void {
    this.#sent = this.#sent.then(work);
    this.#sent.catch(this.#options.fail);
  }
}

/** Divides runs of pages among frames of at most `mostPages`, each in one of the file's parts of `within` pages. */
function* framesOf(
  runs: readonly PageRun[],
  mostPages: number,
  within: number,
): Generator<PageRange[]> {
  let frame: PageRange[] = [];
  let room = mostPages;
  let end = 0;
  for (const { firstPage, count } of runs) {
    for (let first = Number(firstPage), left = count; left > 0; ) {
      if (frame.length > 0 && (room === 0 || first >= end)) {
        yield frame;
        frame = [];
      }
      if (frame.length === 0) {
        room = mostPages;
        end = (Math.floor(first / within) + 1) * within;
      }
      const taken = Math.min(left, room, end - first);
      frame.push({ first, count: taken });
      first += taken;
      left -= taken;
      room -= taken;
    }
  }
  if (frame.length > 0) yield frame;
}
