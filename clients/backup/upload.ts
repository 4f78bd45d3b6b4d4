import { create } from '@bufbuild/protobuf';
import type { Attempts } from '../attempts.ts';
import type { Send } from '../calls.ts';
import { encodeBytesField } from '../format/bytes-field.ts';
import { release } from '../format/memory.ts';
import {
  type Backup,
  type UploadBackupRequest,
  UploadBackupRequestSchema,
  type UploadBackupResponse,
  type UploadStart,
} from '../gen/backscroll/backup/v1/backup_pb.ts';
import { cutOff } from '../stream-faults.ts';
import { CHUNK_BYTES, type UploadSource } from './database-file.ts';

/** What an upload has come to. */
export interface UploadProgress {
  /** Bytes of the file sent in this try, as they were before they were compressed. */
  readonly sentBytes: number;
  /** Bytes of the file that need not be sent, because the service has them. */
  readonly skippedBytes: number;
  /** Bytes of the file in all. */
  readonly sizeBytes: number;
}

/** A committed upload. */
export interface Uploaded {
  /** The backup. */
  readonly backup: Backup;
  /** The file equals the backup before it: nothing but a head was stored. */
  readonly unchanged: boolean;
  /** The upload had been committed before, by an earlier try or call with the same id. */
  readonly repeated: boolean;
  /** Bytes that went to the service for it, in all tries of this call together. */
  readonly sentBytes: number;
}

/** Opens one stream: sends what `produce` sends, and yields the answers. */
export type OpenUpload = (
  produce: (send: Send<UploadBackupRequest>) => Promise<void>,
) => AsyncIterable<UploadBackupResponse>;

/** One way of uploading. */
export interface Uploader {
  /** One try: all of the upload, or a `BackscrollError`. Tells `attempts` how far it comes. */
  attempt(open: OpenUpload, attempts: Attempts): Promise<Uploaded>;
}

/** What the last message of an upload says; what else it must say is added by the uploader. */
export type Result = Omit<Uploaded, 'sentBytes'>;

const DATA_FIELD = UploadBackupRequestSchema.field.data.number;

/** Uploads all bytes of a source. */
export class PlainUploader implements Uploader {
  readonly #start: UploadStart;
  readonly #source: UploadSource;
  readonly #onProgress: ((progress: UploadProgress) => void) | undefined;
  #sentBytes = 0;

  constructor(
    start: UploadStart,
    source: UploadSource,
    onProgress: ((progress: UploadProgress) => void) | undefined,
  ) {
    this.#start = start;
    this.#source = source;
    this.#onProgress = onProgress;
  }

  async attempt(open: OpenUpload, attempts: Attempts): Promise<Uploaded> {
    let result: Result | undefined;
    for await (const { part } of open((send) => this.#produce(send))) {
      attempts.reached();
      result ??= resultOf(part);
    }
    if (result) return { ...result, sentBytes: this.#sentBytes };
    throw cutOff(NO_RESULT);
  }

  async #produce(send: Send<UploadBackupRequest>): Promise<void> {
    await send(create(UploadBackupRequestSchema, { part: { case: 'start', value: this.#start } }));
    const { sizeBytes } = this.#source;
    let sentBytes = 0;
    for await (const chunk of this.#source.stream()) {
      for (let at = 0; at < chunk.length; at += CHUNK_BYTES) {
        const data = chunk.subarray(at, at + CHUNK_BYTES);
        const message = encodeBytesField(DATA_FIELD, data);
        this.#sentBytes += message.length;
        await send(message, () => release(message));
        sentBytes += data.length;
        this.#onProgress?.({ sentBytes, skippedBytes: 0, sizeBytes });
      }
    }
  }
}

/** What to say of a stream that ended well, and without a result. */
export const NO_RESULT = 'The upload ended before its result';

/** What an answer says of a committed upload; undefined where it says something else. */
export function resultOf(part: UploadBackupResponse['part']): Result | undefined {
  if (part.case !== 'result' || !part.value.backup) return undefined;
  const { backup, unchanged, repeated } = part.value;
  return { backup, unchanged, repeated };
}
