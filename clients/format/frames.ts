import type { TransformOptions } from 'node:stream';
import * as zlib from 'node:zlib';
import { release } from './memory.ts';
import { FRAME_BYTES } from './units.ts';

/** How a frame's bytes are packed. The numbers are stored, and are those of the proto's FrameCodec. */
export const FrameCodec = {
  /** As they are. */
  raw: 1,
  /** One zstd frame that states its content size. */
  zstd: 2,
  /** Sealed by the client, and nothing that can be unpacked without its key. */
  sealed: 3,
} as const;

/** One of the codecs' numbers. */
export type FrameCodec = (typeof FrameCodec)[keyof typeof FrameCodec];

/** Some pages' bytes, packed. */
export interface PackedFrame {
  codec: FrameCodec;
  data: Uint8Array;
}

/** A frame that does not unpack to the bytes it should hold. */
export class FrameError extends Error {
  override name = 'FrameError';
}

/** Whether this Node can pack and unpack frames: it knows zstd from 22.15 on. */
export const canUnpackFrames = typeof zlib.zstdDecompress === 'function';

/** zstd's fastest level: on chat databases the third saves 8 % of the bytes for 40 % more time. */
export const FAST_LEVEL = 1;

/** The level for bytes that go over a network before they are stored. */
export const SMALL_LEVEL = 3;

/** Memory that packed frames are written into, one behind the other. */
const OUTPUT_BYTES = 4 * FRAME_BYTES;

/** Room for what zstd adds to bytes that don't shrink, so that it is done in one step. */
const SLACK_BYTES = 1024;

function packing(level: number): zlib.ZstdOptions & Pick<TransformOptions, 'highWaterMark'> {
  return {
    // Every write is a whole zstd frame, which then also states its content size.
    flush: zlib.constants.ZSTD_e_end,
    chunkSize: OUTPUT_BYTES,
    // So much that it never waits for a reader.
    highWaterMark: OUTPUT_BYTES,
    params: { [zlib.constants.ZSTD_c_compressionLevel]: level },
  };
}

/**
 * Packs pages' bytes off the main thread, one frame at a time. It keeps zstd's tables between them,
 * which saves a fifth of the time.
 */
export class FramePacker implements Disposable {
  readonly #zstd: zlib.ZstdCompress;
  #output: Uint8Array | undefined;

  /** Packs with this level of zstd. */
  constructor(level: number = FAST_LEVEL) {
    this.#zstd = zlib.createZstdCompress(packing(level));
    // Errors also reach the callback of the write.
    this.#zstd.on('error', () => {});
  }

  /**
   * Packs a frame with zstd, or raw where that is not smaller; the raw form is the given memory
   * itself, and not a copy. The memory must not change meanwhile; what is packed is good until the next
   * frame is given to this packer.
   */
  async pack(pages: Uint8Array): Promise<PackedFrame> {
    const { promise: written, resolve, reject } = Promise.withResolvers<void>();
    this.#zstd.write(pages, (error) => (error ? reject(error) : resolve()));
    await written;
    const pieces: Buffer[] = [];
    for (let piece = this.#zstd.read(); piece !== null; piece = this.#zstd.read()) {
      pieces.push(piece);
    }
    const data = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
    this.#releaseFull(pieces.at(-1)!);
    if (data.length < pages.length) return { codec: FrameCodec.zstd, data };
    return { codec: FrameCodec.raw, data: pages };
  }

  /** Gives back the memory that was written into before, where the last piece lies in other memory. */
  #releaseFull(last: Uint8Array): void {
    if (this.#output !== undefined && this.#output.buffer !== last.buffer) release(this.#output);
    this.#output = last;
  }

  [Symbol.dispose](): void {
    this.#zstd.destroy();
  }
}

/**
 * Unpacks a frame that must hold exactly `pagesBytes` bytes of pages, off the main thread, into memory
 * of its own. Never allocates more than that, whatever the frame claims.
 *
 * Throws FrameError where the frame holds other than that, or its codec is unknown.
 */
export async function unpackFrame(
  codec: number,
  data: Uint8Array,
  pagesBytes: number,
): Promise<Buffer> {
  const pages = await unpack(codec, data, pagesBytes);
  if (pages.length === pagesBytes) return pages;
  throw new FrameError(`frame of ${pages.length} bytes where ${pagesBytes} were expected`);
}

function unpack(codec: number, data: Uint8Array, pagesBytes: number): Promise<Buffer> | Buffer {
  if (codec === FrameCodec.raw) return copyOf(data);
  if (codec !== FrameCodec.zstd) throw new FrameError(`unknown codec ${codec}`);
  const options = { chunkSize: pagesBytes + SLACK_BYTES, maxOutputLength: pagesBytes };
  return new Promise((resolve, reject) => {
    zlib.zstdDecompress(data, options, (error, pages) => {
      if (error === null) resolve(pages);
      else reject(new FrameError(error.message, { cause: error }));
    });
  });
}

function copyOf(data: Uint8Array): Buffer {
  const copy = Buffer.allocUnsafe(data.length);
  copy.set(data);
  return copy;
}
