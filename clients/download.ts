import { createHash, type Hash } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import { Attempts, willPass } from './attempts.ts';
import { BackscrollError } from './errors.ts';
import { ExtentCutter, extentDigest, pageDigests, RootDigest } from './format/digests.ts';
import type { DownloadAnswer } from './frames-download.ts';
import type { Backup } from './gen/backscroll/backup/v1/backup_pb.ts';
import { cancelled, cutOff, wrongAnswer } from './stream-faults.ts';

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
  readonly #whole: boolean;

  private constructor(backup: Backup, parts: Parts, whole: boolean) {
    this.backup = backup;
    this.#parts = parts;
    this.#whole = whole;
  }

  /** For the client's own use: resolves when the backup is known and its bytes may be read. */
  static async open(
    open: OpenDownload,
    number: bigint,
    offsetBytes: number,
    signal: AbortSignal | undefined,
  ): Promise<Download> {
    const parts = resuming(open, number, offsetBytes, signal);
    const first = await parts.next();
    if (first.done || first.value.case !== 'backup') throw unexpected();
    return new Download(first.value.value, parts, offsetBytes === 0);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    const check = this.#whole ? new Check(this.backup) : undefined;
    for await (const part of this.#parts) {
      if (part.case !== 'data') throw unexpected();
      check?.add(part.value);
      yield part.value;
    }
    check?.finish();
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

  constructor(backup: Backup) {
    this.#backup = backup;
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
    this.#root.add(extentDigest(pageDigests(extent, this.#backup.pageSizeBytes)));
  }
}

function unexpected() {
  return wrongAnswer('The service sent what was not asked for');
}
