import type { SourceReader } from './database-file.ts';
import { FramePacker, SMALL_LEVEL } from './format/frames.ts';
import { FRAME_BYTES } from './format/units.ts';
import type { Frame, PageRun } from './gen/backscroll/backup/v1/backup_pb.ts';
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
      packer: new FramePacker(SMALL_LEVEL),
      bytes: Buffer.allocUnsafeSlow(FRAME_BYTES),
    }));
    this.#idle = new Channel(options.signal, this.#packings);
  }

  /** Takes pages, ascending, and resolves when there is room for more; `done` is called when they were sent. */
  async add(runs: readonly PageRun[], done: () => void): Promise<void> {
    for (const ranges of framesOf(runs, FRAME_BYTES / this.#options.pageSizeBytes)) {
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
      const { codec, data } = await packed;
      const pages = ranges.flatMap(({ first, count }) =>
        Array.from({ length: count }, (_, at) => BigInt(first + at)),
      );
      await this.#options.send({ pages, codec, data }, bytes.length);
      this.#idle.push(packing);
    });
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

/** Divides runs of pages among frames of at most `mostPages`. */
function* framesOf(runs: readonly PageRun[], mostPages: number): Generator<PageRange[]> {
  let frame: PageRange[] = [];
  let room = mostPages;
  for (const { firstPage, count } of runs) {
    for (let at = 0; at < count; ) {
      const taken = Math.min(count - at, room);
      frame.push({ first: Number(firstPage) + at, count: taken });
      at += taken;
      room -= taken;
      if (room > 0) continue;
      yield frame;
      frame = [];
      room = mostPages;
    }
  }
  if (frame.length > 0) yield frame;
}
