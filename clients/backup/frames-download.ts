import { status } from '@grpc/grpc-js';
import { BackscrollError } from '../errors.ts';
import { FrameCodec, FrameError, unpackFrame } from '../format/frames.ts';
import { release } from '../format/memory.ts';
import { EXTENT_BYTES, FRAME_BYTES, WINDOW_BYTES } from '../format/units.ts';
import type {
  Backup,
  DownloadBackupResponse,
  Frame,
} from '../gen/backscroll/backup/v1/backup_pb.ts';
import type { Sealer } from '../sealing/sealer.ts';
import { wrongAnswer } from '../stream-faults.ts';

/** An answer of a download, as far as its reader needs it. */
export type DownloadAnswer = Pick<DownloadBackupResponse, 'part'>;

/**
 * Tells what opens a backup: undefined where it is plain. Throws where the key given does not, so that
 * nothing more is read.
 */
export type SealerOf = (backup: Backup) => Promise<Sealer | undefined>;

/**
 * Makes of a download of frames one of the file's bytes, in order from `offsetBytes` on. Holds two
 * windows: one is unpacked, off the main thread, while the frames of the next arrive. Bytes that come
 * as they are go through, unless `sealerOf` says that the backup is sealed.
 */
export async function* unpackFrames(
  answers: AsyncIterable<DownloadAnswer>,
  offsetBytes: number,
  sealerOf: SealerOf = async () => undefined,
): AsyncGenerator<DownloadAnswer, void, undefined> {
  let window: Window | undefined;
  let sealer: Sealer | undefined;
  let unpacking: Promise<DownloadAnswer> | undefined;
  try {
    for await (const answer of answers) {
      const { part } = answer;
      if (part.case === 'backup') {
        sealer = await sealerOf(part.value);
        window = Window.at({ backup: part.value, sealer }, offsetBytes);
      }
      if (part.case !== 'frame') {
        if (sealer && part.case === 'data') throw damaged('what is not sealed came');
        yield answer;
        continue;
      }
      if (window === undefined) throw wrongAnswer('The service sent more than the file');
      window.add(part.value);
      if (!window.isWhole) continue;
      const before = unpacking;
      unpacking = undefined;
      if (before) yield await before;
      unpacking = window.unpacked();
      window = window.next();
    }
  } catch (error) {
    // The window that is whole counts: who tries again need not ask for it.
    if (unpacking) yield await unpacking;
    throw error;
  }
  if (unpacking) yield await unpacking;
}

/** What the frames of a download are of. */
interface Whole {
  readonly backup: Backup;
  readonly sealer: Sealer | undefined;
}

/** One window of the file, filled with the pages of frames. */
class Window {
  readonly #whole: Whole;
  readonly #from: number;
  readonly #bytes: Buffer;
  readonly #skip: number;
  readonly #unpacking: Promise<void>[] = [];
  #pagesLeft: number;

  private constructor(whole: Whole, from: number, skip: number) {
    const { backup } = whole;
    const end = Math.min(from - (from % WINDOW_BYTES) + WINDOW_BYTES, Number(backup.sizeBytes));
    this.#whole = whole;
    this.#from = from;
    this.#bytes = Buffer.allocUnsafeSlow(end - from);
    this.#skip = skip;
    this.#pagesLeft = Math.ceil(this.#bytes.length / backup.pageSizeBytes);
  }

  /** The window that begins with the extent in which the offset is; undefined past the file's end. */
  static at(whole: Whole, offsetBytes: number): Window | undefined {
    if (offsetBytes >= Number(whole.backup.sizeBytes)) return undefined;
    const skip = offsetBytes % EXTENT_BYTES;
    return new Window(whole, offsetBytes - skip, skip);
  }

  next(): Window | undefined {
    return Window.at(this.#whole, this.#from + this.#bytes.length);
  }

  get isWhole(): boolean {
    return this.#pagesLeft === 0;
  }

  add(frame: Frame): void {
    this.#pagesLeft -= frame.pages.length;
    if (this.#pagesLeft < 0 || !this.#canBe(frame)) {
      throw wrongAnswer('The service sent a frame that can not be');
    }
    const filling = this.#fill(frame);
    // Whoever waits for the window gets the error; nobody may, when the stream breaks before.
    filling.catch(() => {});
    this.#unpacking.push(filling);
  }

  #canBe({ pages, positions, unpackedBytes }: Frame): boolean {
    if (unpackedBytes < 1 || unpackedBytes > FRAME_BYTES) return false;
    const held = Math.ceil(unpackedBytes / this.#whole.backup.pageSizeBytes);
    if (positions.length === 0) return pages.length === held;
    return positions.length === pages.length && positions.every((position) => position < held);
  }

  /** The window's bytes, once all its frames are unpacked. */
  unpacked(): Promise<DownloadAnswer> {
    const value = this.#bytes.subarray(this.#skip);
    const unpacked = Promise.all(this.#unpacking).then(
      (): DownloadAnswer => ({ part: { case: 'data', value } }),
    );
    // Whoever waits for it gets the error; a reader that left does not.
    unpacked.catch(() => {});
    return unpacked;
  }

  async #fill(frame: Frame): Promise<void> {
    const { pages, positions } = frame;
    const unpacked = await this.#unpack(frame).catch(refuse);
    const { pageSizeBytes } = this.#whole.backup;
    for (const [index, page] of pages.entries()) {
      const to = Number(page) * pageSizeBytes - this.#from;
      if (to < 0 || to >= this.#bytes.length)
        throw wrongAnswer('The service sent a page too early');
      const from = (positions[index] ?? index) * pageSizeBytes;
      unpacked.copy(this.#bytes, to, from, from + pageSizeBytes);
    }
    for (const used of [frame.data, unpacked]) release(used);
  }

  async #unpack({ pages, positions, codec, data, unpackedBytes }: Frame): Promise<Buffer> {
    const { sealer } = this.#whole;
    if (!sealer) return unpackFrame(codec, data, unpackedBytes);
    if (codec !== FrameCodec.sealed) throw new FrameError('it is not sealed');
    const opened = sealer.openFrame(data);
    if (pages.some((page, index) => opened.pages[positions[index] ?? index] !== Number(page))) {
      throw new FrameError('it was sealed as other pages');
    }
    return unpackFrame(opened.packed.codec, opened.packed.data, unpackedBytes);
  }
}

function refuse(error: unknown): never {
  throw error instanceof FrameError ? damaged(error.message, error) : error;
}

function damaged(why: string, cause?: unknown): BackscrollError {
  return new BackscrollError(`A frame of the backup is damaged: ${why}`, {
    code: status.DATA_LOSS,
    reason: 'DIGEST_MISMATCH',
    cause,
  });
}
