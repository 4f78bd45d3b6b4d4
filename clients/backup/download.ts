import { createHash, type Hash } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import { Attempts, willPass } from '../attempts.ts';
import { BackscrollError } from '../errors.ts';
import {
  type DigestPages,
  ExtentCutter,
  extentDigest,
  pageDigests,
  RootDigest,
} from '../format/digests.ts';
import { EXTENT_BYTES } from '../format/units.ts';
import type { Backup } from '../gen/backscroll/backup/v1/backup_pb.ts';
import { cancelled, cutOff, wrongAnswer } from '../stream-faults.ts';
import type { DownloadAnswer, SealerOf } from './frames-download.ts';

/** Opens one stream of a backup (0n for the newest), from an offset on. */
export type OpenDownload = (number: bigint, offsetBytes: number) => AsyncIterable<DownloadAnswer>;

/**
 * The bytes of one backup, in the file's order. Can be read once; leaving the iteration early cancels
 * the call. When the service is gone meanwhile, it goes on where it was. A download of the whole file
 * fails with DATA_LOSS, reason DIGEST_MISMATCH, where the bytes do not have the backup's digests: what
 * was read to its end is right.
 */
export class Download implements AsyncIterable<Uint8Array>, AsyncDisposable {
  /** Which backup it is. */
  readonly backup: Backup;

  readonly #parts: Parts;
  readonly #check: Check | undefined;

  private constructor(backup: Backup, parts: Parts, check: Check | undefined) {
    this.backup = backup;
    this.#parts = parts;
    this.#check = check;
  }

  /** For the client's own use: resolves when the backup is known and its bytes may be read. */
  static async open(
    open: OpenDownload,
    sealerOf: SealerOf,
    number: bigint,
    offsetBytes: number,
    signal: AbortSignal | undefined,
  ): Promise<Download> {
    const parts = resuming(open, number, offsetBytes, signal);
    try {
      const first = await parts.next();
      if (first.done || first.value.case !== 'backup') throw unexpected();
      const backup = first.value.value;
      const sealer = await sealerOf(backup);
      const digestPages = sealer?.pageDigests.bind(sealer) ?? pageDigests;
      const check = offsetBytes === 0 ? new Check(backup, digestPages) : undefined;
      return new Download(backup, parts, check);
    } catch (error) {
      // Else the call would stay open.
      await parts.return();
      throw error;
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const part of this.#parts) {
      if (part.case !== 'data') throw unexpected();
      this.#check?.add(part.value);
      yield part.value;
    }
    this.#check?.finish();
  }

  /** Cancels the call, unless it was read to its end. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts.return();
  }
}

type Parts = AsyncGenerator<DownloadAnswer['part'], void, undefined>;

/** The description once, then the bytes, through as many streams as it takes. */
async function* resuming(
  open: OpenDownload,
  number: bigint,
  offsetBytes: number,
  signal: AbortSignal | undefined,
): Parts {
  const attempts = new Attempts(signal);
  let backup: Backup | undefined;
  let offset = offsetBytes;
  for (;;) {
    try {
      for await (const { part } of open(backup?.number ?? number, offset)) {
        if (part.case === 'backup') {
          attempts.reached();
          if (backup) continue;
          backup = part.value;
        } else if (part.case === 'data') {
          offset += part.value.length;
          attempts.progressed();
        }
        yield part;
        // The stream may have ended well already, ahead of its reader.
        if (signal?.aborted) throw cancelled(signal.reason);
      }
      if (backup && BigInt(offset) === backup.sizeBytes) return;
      throw cutOff('The download ended before its end');
    } catch (error) {
      await attempts.failed(error, willPass);
    }
  }
}

/** Compares the bytes of a whole file with the digests of its backup. */
class Check {
  readonly #backup: Backup;
  readonly #cutter = new ExtentCutter();
  readonly #root: RootDigest;
  readonly #sha256: Hash | undefined;
  readonly #digestPages: DigestPages;
  #extent = 0;

  constructor(backup: Backup, digestPages: DigestPages) {
    this.#backup = backup;
    this.#digestPages = digestPages;
    this.#root = new RootDigest(Number(backup.sizeBytes));
    this.#sha256 = backup.sha256.length > 0 ? createHash('sha256') : undefined;
  }

  /** Takes the file's next bytes. */
  add(bytes: Uint8Array): void {
    this.#sha256?.update(bytes);
    for (const extent of this.#cutter.cut(bytes)) this.#addExtent(extent);
  }

  /** Throws where the bytes were not those of the backup. */
  finish(): void {
    const rest = this.#cutter.rest();
    if (rest) this.#addExtent(rest);
    const { root, sha256 } = this.#backup;
    if (this.#root.finish().equals(root) && (this.#sha256?.digest().equals(sha256) ?? true)) return;
    throw new BackscrollError(`The bytes of backup ${this.#backup.number} do not have its digest`, {
      code: status.DATA_LOSS,
      reason: 'DIGEST_MISMATCH',
    });
  }

  #addExtent(extent: Uint8Array): void {
    const { pageSizeBytes } = this.#backup;
    const firstPage = (this.#extent * EXTENT_BYTES) / pageSizeBytes;
    this.#root.add(extentDigest(this.#digestPages(extent, pageSizeBytes, firstPage)));
    this.#extent += 1;
  }
}

function unexpected() {
  return wrongAnswer('The service sent what was not asked for');
}
