import { status } from '@grpc/grpc-js';
import { Attempts, willPass } from '../../attempts.ts';
import { BackscrollError, isReason } from '../../errors.ts';
import { refuseTooLarge } from './file-quota.ts';
import type { FileStore } from './file-store.ts';
import type { PartFile } from './part-file.ts';
import {
  FileRefused,
  type FileRequest,
  type TransferHandler,
  unreachable,
} from './transfer-handler.ts';

/** Less than this in the time of a stall is one. */
const STALLED_BYTES = 16 * 1024;

/** A try that brought so much is worth another one. */
const PROGRESS_BYTES = 64 * 1024;

/** One content to fetch. */
export interface Transfer {
  readonly store: FileStore;
  readonly handler: TransferHandler;
  readonly file: FileRequest;
  /** What it is expected under: its SHA-256 in hex, or a hash of its size and url. */
  readonly key: string;
  /** Its SHA-256 in hex; undefined where the message does not tell. */
  readonly sha256: string | undefined;
  /** Longest that less than 16 KiB may come, in milliseconds. */
  readonly stallMs: number;
  readonly signal: AbortSignal;
  /** Told the size once it is known. */
  readonly onSize: (sizeBytes: number) => void;
  /** Whether to go on with a file that has so many bytes or, as long as nobody tells, at least so many. */
  readonly wanted: (sizeBytes: number) => boolean;
  /** Told when nobody else fetches it, and it is not there. */
  readonly onBegin: () => void;
  readonly onProgress: (receivedBytes: number) => void;
}

/**
 * Fetches a content into the store, from where an earlier try ended, and resolves to its SHA-256. Fails
 * with a `FileRefused` (FILE_WRONG_SIZE, FILE_WRONG_DIGEST, FILE_TOO_LARGE, FILE_NOT_WANTED, or the
 * handler's), with ABORTED, reason FILE_ELSEWHERE, where another fetches what is in the same shard, or
 * as the handler or the disk does. What came stays for the next try, unless it was refused for good.
 */
export async function fetchContent(transfer: Transfer): Promise<string> {
  const { store, key, sha256, file, signal } = transfer;
  using lock = await store.lock(key);
  if (!lock) throw elsewhere();
  if (sha256 !== undefined && store.find(sha256)) return sha256;
  refuseTooLarge(file.sizeBytes, store.quota.quotaBytes);
  transfer.onBegin();
  await using part = await store.openPart(key);
  const attempts = new Attempts(signal);
  let furthest = part.sizeBytes;
  const came = (bytes: number) => {
    // What is sent again and again, and breaks off in the same place, comes to nothing.
    if (bytes - furthest < PROGRESS_BYTES) return;
    furthest = bytes;
    attempts.progressed();
  };
  let anew = 0;
  const attempt = async () => {
    const told = file.sizeBytes;
    if (told > 0 && part.sizeBytes > told) await part.clear();
    const complete = told > 0 ? part.sizeBytes === told : part.digest() === sha256;
    if (!complete) await receive(transfer, part, came);
    if (sha256 === undefined || part.digest() === sha256) return store.keep(part);
    if (part.pieced && anew++ === 0) {
      await part.clear();
      throw unreachable('The pieces do not fit together');
    }
    throw new FileRefused(
      'The file has another SHA-256 than its message tells',
      'FILE_WRONG_DIGEST',
      status.DATA_LOSS,
    );
  };
  try {
    return await attempts.run(attempt, willPass);
  } catch (error) {
    if (isFinal(error)) await part.clear();
    throw error;
  }
}

/** A file that the app does not want now, by its size, may be wanted later. */
export function isFinal(error: unknown): error is FileRefused {
  return error instanceof FileRefused && error.reason !== 'FILE_NOT_WANTED';
}

/** Another transfer has the lock. */
export function isElsewhere(error: unknown): boolean {
  return isReason(error, 'FILE_ELSEWHERE');
}

function elsewhere(): BackscrollError {
  return new BackscrollError('Another transfer has the lock', {
    code: status.ABORTED,
    reason: 'FILE_ELSEWHERE',
  });
}

/** Receives what is missing of a part, in one piece; `came` is told how long the part is by now. */
async function receive(
  transfer: Transfer,
  part: PartFile,
  came: (bytes: number) => void,
): Promise<void> {
  const { file, handler, sha256, signal, stallMs } = transfer;
  const validator = part.origin?.url === file.url ? part.origin.validator : undefined;
  // Without either, nothing would show that the rest is another file's.
  const offset = validator !== undefined || sha256 !== undefined ? part.sizeBytes : 0;
  using patience = new Patience(signal, stallMs);
  try {
    const fetched = await handler.fetch(file, {
      offset,
      validator: offset > 0 ? validator : undefined,
      signal: patience.signal,
    });
    const size = sizeOf(transfer, fetched.sizeBytes);
    if (fetched.offset === 0) await part.begin({ url: file.url, validator: fetched.validator });
    else part.goOn(fetched.offset);
    part.claim.endless = size === undefined;
    if (size !== undefined) await part.claim.reserve(size - part.sizeBytes);
    for await (const bytes of fetched.body) {
      refuseLonger(transfer, part.sizeBytes + bytes.length, size);
      await part.append(bytes);
      // Once the piece is there: what stays then tells, too, that the file has more than is wanted.
      if (size === undefined) refuseUnwanted(transfer, part.sizeBytes);
      patience.came(bytes.length);
      came(part.sizeBytes);
      transfer.onProgress(part.sizeBytes);
    }
    signal.throwIfAborted();
    if (size === undefined || part.sizeBytes === size) return;
    if (fetched.sizeBytes === undefined) throw wrongSize(`${part.sizeBytes}`, file.sizeBytes);
    throw unreachable('The file was cut off');
  } catch (error) {
    throw patience.stalled ? unreachable('Nothing came for too long', error) : error;
  }
}

/** How large the file will be; refuses what the message, the quota or the app does not allow. */
function sizeOf(transfer: Transfer, sizeBytes: number | undefined): number | undefined {
  const { file } = transfer;
  if (file.sizeBytes > 0) {
    if (sizeBytes === undefined || sizeBytes === file.sizeBytes) return file.sizeBytes;
    throw wrongSize(`${sizeBytes}`, file.sizeBytes);
  }
  if (sizeBytes === undefined) return undefined;
  refuseTooLarge(sizeBytes, transfer.store.quota.quotaBytes);
  transfer.onSize(sizeBytes);
  refuseUnwanted(transfer, sizeBytes);
  return sizeBytes;
}

function refuseLonger({ file, store }: Transfer, came: number, size: number | undefined): void {
  if (size === undefined) refuseTooLarge(came, store.quota.quotaBytes);
  else if (came > size) throw wrongSize('more', file.sizeBytes || size);
}

function refuseUnwanted({ wanted }: Transfer, sizeBytes: number): void {
  if (!wanted(sizeBytes)) throw new FileRefused('The file is not wanted', 'FILE_NOT_WANTED');
}

function wrongSize(came: string, toldBytes: number): FileRefused {
  return new FileRefused(
    `The file has ${came} bytes where ${toldBytes} were told`,
    'FILE_WRONG_SIZE',
    status.DATA_LOSS,
  );
}

/** Ends what brings too little. */
class Patience implements Disposable {
  /** Fires with the one given, after a stall, and when it is disposed of. */
  readonly signal: AbortSignal;
  stalled = false;
  readonly #ending = new AbortController();
  readonly #timer: NodeJS.Timeout;
  #bytes = 0;

  constructor(signal: AbortSignal, stallMs: number) {
    this.signal = AbortSignal.any([signal, this.#ending.signal]);
    this.#timer = setInterval(() => this.#look(), stallMs);
  }

  came(bytes: number): void {
    this.#bytes += bytes;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#ending.abort();
  }

  #look(): void {
    if (this.#bytes < STALLED_BYTES) {
      this.stalled = true;
      this.#ending.abort();
    }
    this.#bytes = 0;
  }
}
