import { create } from '@bufbuild/protobuf';
import type { Attempts } from './attempts.ts';
import type { Send } from './calls.ts';
import { CHUNK_BYTES, type UploadSource } from './database-file.ts';
import { encodeBytesField } from './format/bytes-field.ts';
import {
  type Backup,
  type UploadBackupRequest,
  UploadBackupRequestSchema,
  type UploadBackupResponse,
  type UploadStart,
} from './gen/backscroll/backup/v1/backup_pb.ts';
import { cutOff } from './stream-faults.ts';

/** What an upload has come to. */
export interface UploadProgress {
  /** Bytes of the file sent in this try. */
  readonly sentBytes: number;
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
}

/** Opens one stream: sends what `produce` sends, and yields the answers. */
export type OpenUpload = (
  produce: (send: Send<UploadBackupRequest>) => Promise<void>,
) => AsyncIterable<UploadBackupResponse>;

const DATA_FIELD = UploadBackupRequestSchema.field.data.number;

/** One try of an upload: all of it, or a `BackscrollError`. */
export async function uploadOnce(
  open: OpenUpload,
  start: UploadStart,
  source: UploadSource,
  attempts: Attempts,
  onProgress: ((progress: UploadProgress) => void) | undefined,
): Promise<Uploaded> {
  const produce = async (send: Send<UploadBackupRequest>) => {
    await send(create(UploadBackupRequestSchema, { part: { case: 'start', value: start } }));
    let sentBytes = 0;
    for await (const chunk of source.stream()) {
      for (let at = 0; at < chunk.length; at += CHUNK_BYTES) {
        const data = chunk.subarray(at, at + CHUNK_BYTES);
        await send(encodeBytesField(DATA_FIELD, data));
        sentBytes += data.length;
        onProgress?.({ sentBytes, sizeBytes: source.sizeBytes });
      }
    }
  };
  let uploaded: Uploaded | undefined;
  for await (const { part } of open(produce)) {
    attempts.reached();
    if (part.case !== 'result' || !part.value.backup) continue;
    const { backup, unchanged, repeated } = part.value;
    uploaded = { backup, unchanged, repeated };
  }
  if (uploaded) return uploaded;
  throw cutOff('The upload ended before its result');
}
