import { status } from '@grpc/grpc-js';
import { BackscrollError } from './errors.ts';
import { FrameError, unpackFrame } from './format/frames.ts';
import { EXTENT_BYTES, FRAME_BYTES, WINDOW_BYTES } from './format/units.ts';
import type {
  Backup,
  DownloadBackupResponse,
  Frame,
} from './gen/backscroll/backup/v1/backup_pb.ts';
import { wrongAnswer } from './stream-faults.ts';

/** An answer of a download, as far as its reader needs it. */
export type DownloadAnswer = Pick<DownloadBackupResponse, 'part'>;

/**
 * Makes of a download of frames one of the file's bytes, in order from `offsetBytes` on. Holds two
 * windows: one is unpacked, off the main thread, while the frames of the next arrive. Bytes that come
 * as they are go through.
 */
export async function* unpackFrames(
  answers: AsyncIterable<DownloadAnswer>,
  offsetBytes: number,
): AsyncGenerator<DownloadAnswer, void, undefined> {
  let window: Window | undefined;
  let unpacking: Promise<DownloadAnswer> | undefined;
  try {
    for await (const answer of answers) {
      const { part } = answer;
      if (part.case === 'backup') window = Window.at(part.value, offsetBytes);
      if (part.case !== 'frame') {
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

/** One window of the file, filled with the pages of frames. */
class Window {
  readonly #backup: Backup;
  readonly #from: number;
  readonly #bytes: Buffer;
  readonly #skip: number;
  readonly #unpacking: Promise<void>[] = [];
  #pagesLeft: number;

  private constructor(backup: Backup, from: number, skip: number) {
    const end = Math.min(from - (from % WINDOW_BYTES) + WINDOW_BYTES, Number(backup.sizeBytes));
    this.#backup = backup;
    this.#from = from;
    this.#bytes = Buffer.allocUnsafeSlow(end - from);
    this.#skip = skip;
    this.#pagesLeft = Math.ceil(this.#bytes.length / backup.pageSizeBytes);
  }

  /** The window that begins with the extent in which the offset is; undefined past the file's end. */
  static at(backup: Backup, offsetBytes: number): Window | undefined {
    if (offsetBytes >= Number(backup.sizeBytes)) return undefined;
    const skip = offsetBytes % EXTENT_BYTES;
    return new Window(backup, offsetBytes - skip, skip);
  }

  next(): Window | undefined {
    return Window.at(this.#backup, this.#from + this.#bytes.length);
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
    const held = Math.ceil(unpackedBytes / this.#backup.pageSizeBytes);
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

  async #fill({ pages, positions, codec, data, unpackedBytes }: Frame): Promise<void> {
    const unpacked = await unpackFrame(codec, data, unpackedBytes).catch(damaged);
    const { pageSizeBytes } = this.#backup;
    for (const [index, page] of pages.entries()) {
      const to = Number(page) * pageSizeBytes - this.#from;
      if (to < 0 || to >= this.#bytes.length)
        throw wrongAnswer('The service sent a page too early');
      const from = (positions[index] ?? index) * pageSizeBytes;
      unpacked.copy(this.#bytes, to, from, from + pageSizeBytes);
    }
  }
}

function damaged(error: unknown): never {
  if (!(error instanceof FrameError)) throw error;
  throw new BackscrollError('A frame of the backup is damaged', {
    code: status.DATA_LOSS,
    reason: 'DIGEST_MISMATCH',
    cause: error,
  });
}
