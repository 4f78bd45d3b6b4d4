import { create } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import type { Attempts } from '../attempts.ts';
import { BackscrollError, isReason } from '../errors.ts';
import { changeUnit, SQLITE_HEADER_BYTES, sqlitePageSize } from '../format/sqlite-header.ts';
import { SMALLEST_PAGE_BYTES } from '../format/units.ts';
import {
  UploadMode,
  type UploadStart,
  UploadStartSchema,
} from '../gen/backscroll/backup/v1/backup_pb.ts';
import type { Sealer } from '../sealing/sealer.ts';
import { cutOff, wrongAnswer } from '../stream-faults.ts';
import type { SourceReader, UploadSource } from './database-file.ts';
import { FileDigests } from './file-digests.ts';
import {
  NO_RESULT,
  type OpenUpload,
  type Result,
  resultOf,
  type Uploaded,
  type Uploader,
  type UploadProgress,
} from './upload.ts';
import { UploadDialogue } from './upload-dialogue.ts';

/** A source that can be read at any position. */
type SeekableSource = Required<Pick<UploadSource, 'sizeBytes' | 'open'>>;

/**
 * Uploads what the service lacks of a source. What is learnt in one try serves the next: the file is
 * hashed once, and the service asks for nothing that it has stored.
 */
export class IncrementalUploader implements Uploader {
  readonly #start: UploadStart;
  readonly #source: SeekableSource;
  readonly #sealer: Sealer | undefined;
  readonly #onProgress: ((progress: UploadProgress) => void) | undefined;
  #digests: FileDigests | undefined;
  /** Most bytes of the file that any try need not send. */
  #mostSkippedBytes = 0;
  #sentBytes = 0;

  constructor(
    start: UploadStart,
    source: SeekableSource,
    sealer: Sealer | undefined,
    onProgress: ((progress: UploadProgress) => void) | undefined,
  ) {
    this.#start = start;
    this.#source = source;
    this.#sealer = sealer;
    this.#onProgress = onProgress;
  }

  async attempt(open: OpenUpload, attempts: Attempts): Promise<Uploaded> {
    const reader = await this.#source.open();
    try {
      return await this.#attempt(reader, open, attempts);
    } catch (error) {
      // Pages that are not what they were hashed as have been written to meanwhile.
      if (isMismatch(error)) await reader.confirm();
      throw error;
    } finally {
      await reader.close();
    }
  }

  async #attempt(reader: SourceReader, open: OpenUpload, attempts: Attempts): Promise<Uploaded> {
    const { sizeBytes } = this.#source;
    const pageSizeBytes = await this.#pageSize(reader);
    const sealer = this.#sealer;
    this.#digests ??= new FileDigests(sizeBytes, pageSizeBytes, sealer?.pageDigests.bind(sealer));
    const start = create(UploadStartSchema, {
      ...this.#start,
      mode: UploadMode.INCREMENTAL,
      pageSizeBytes,
    });
    const digests = this.#digests;
    const onProgress = (progress: UploadProgress) => {
      // More is durable than in any try before, or it was found sooner.
      if (progress.skippedBytes > this.#mostSkippedBytes) attempts.progressed();
      this.#mostSkippedBytes = Math.max(this.#mostSkippedBytes, progress.skippedBytes);
      this.#onProgress?.(progress);
    };
    using dialogue = new UploadDialogue({
      start,
      reader,
      digests,
      sizeBytes,
      pageSizeBytes,
      sealer,
      onProgress,
    });
    let result: Result | undefined;
    let accepted = false;
    try {
      for await (const { part } of open((send) => dialogue.produce(send))) {
        attempts.reached();
        // No page is sent before this: the pages that are wanted are told later.
        if (part.case === 'accepted') {
          if (!hasKey(part.value.keyId, start)) throw noSealing();
          accepted = true;
        }
        if (!accepted) throw wrongAnswer('The service answered an upload that it had not accepted');
        dialogue.take(part);
        if (part.case === 'progress' && part.value.storedBytes > 0n) attempts.progressed();
        result ??= resultOf(part);
      }
    } finally {
      this.#sentBytes += dialogue.sentBytes;
    }
    if (!result) throw cutOff(NO_RESULT);
    const { root, key } = result.backup;
    if (!digests.root().equals(root) || !hasKey(key?.id, start)) throw otherFile(result);
    return { ...result, sentBytes: this.#sentBytes };
  }

  async #pageSize(reader: SourceReader): Promise<number> {
    if (this.#start.opaque) return SMALLEST_PAGE_BYTES;
    const { sizeBytes } = this.#source;
    const header = Buffer.alloc(Math.min(SQLITE_HEADER_BYTES, sizeBytes));
    await reader.read(header, 0);
    const pageBytes = sqlitePageSize(header);
    // What is no database is for the service to refuse, with its reason, if it can see that.
    if (this.#sealer && (!pageBytes || sizeBytes % pageBytes !== 0)) throw noDatabase();
    return pageBytes === undefined ? SMALLEST_PAGE_BYTES : changeUnit(pageBytes);
  }
}

/** Whether this is the id of the key that seals the upload; none is that of a plain one. */
function hasKey(id: Uint8Array = Buffer.alloc(0), { key }: UploadStart): boolean {
  return Buffer.from(id).equals(key?.id ?? Buffer.alloc(0));
}

function noSealing(): BackscrollError {
  return new BackscrollError('The service keeps no sealed backups', {
    code: status.FAILED_PRECONDITION,
    reason: 'SEALING_UNSUPPORTED',
  });
}

function noDatabase(): BackscrollError {
  return new BackscrollError('It is no SQLite database, and was not declared opaque', {
    code: status.INVALID_ARGUMENT,
    reason: 'NOT_A_DATABASE',
  });
}

function isMismatch(error: unknown): boolean {
  return isReason(error, 'DIGEST_MISMATCH');
}

function otherFile({ backup }: Result): BackscrollError {
  return new BackscrollError(`Backup ${backup.number} is not of the file that was uploaded`, {
    code: status.DATA_LOSS,
    reason: 'DIGEST_MISMATCH',
  });
}
