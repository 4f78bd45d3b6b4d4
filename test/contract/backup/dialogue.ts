import { create, fromBinary, type MessageInitShape } from '@bufbuild/protobuf';
import { Attempts } from '../../../clients/attempts.ts';
import type { UploadSource } from '../../../clients/backup/database-file.ts';
import { IncrementalUploader } from '../../../clients/backup/incremental-uploader.ts';
import type { OpenUpload, Uploaded } from '../../../clients/backup/upload.ts';
import { Channel } from '../../../clients/backup/upload-channel.ts';
import { extentDigest, pageDigests } from '../../../clients/format/digests.ts';
import { FrameCodec } from '../../../clients/format/frames.ts';
import {
  type UploadBackupRequest,
  UploadBackupRequestSchema,
  type UploadBackupResponse,
  type UploadStart,
  UploadStartSchema,
} from '../../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import type { Sealer } from '../../../clients/sealing/sealer.ts';
import type { Verifications } from '../../../services/backup/domain/verification/verify.ts';
import { UPLOAD_LIMITS, uploadBackup } from '../../../services/backup/handlers/upload-backup.ts';
import type { BackupStore } from '../../../services/backup/store/store.ts';
import { readerOf } from '../../support/memory-reader.ts';
import { callContext, unverified } from './transfers.ts';

/** What a test watches of a dialogue, and does to it. */
export interface Watch {
  /** Called with each request before the service takes it; what it throws breaks the connection. */
  onRequest?: (part: UploadBackupRequest['part']) => void;
  /** Called with each answer. */
  onAnswer?: (part: UploadBackupResponse['part']) => void;
  /** What verifies the upload: nothing where it is absent. */
  verifications?: Verifications;
  /** Longest that a pack stays open, in milliseconds. */
  packOpenMs?: number;
  /** Seals what is sent. */
  sealer?: Sealer;
}

/** Pages of the file, by their numbers. */
export interface Dialogue extends Uploaded {
  /** Pages that the service asked for. */
  asked: number[];
}

/** Uploads a file's state as the client library does, over no network. */
export async function uploadChanges(
  store: BackupStore,
  file: Buffer,
  start: MessageInitShape<typeof UploadStartSchema> = {},
  watch: Watch = {},
): Promise<Dialogue> {
  const asked: number[] = [];
  const onAnswer = (part: UploadBackupResponse['part']) => {
    if (part.case === 'neededPages') asked.push(...part.value.runs.flatMap(pagesOf));
    watch.onAnswer?.(part);
  };
  const uploader = new IncrementalUploader(
    startOf(file, start),
    sourceOf(file),
    watch.sealer,
    undefined,
  );
  const open = openUpload(store, { ...watch, onAnswer });
  return { ...(await uploader.attempt(open, new Attempts())), asked };
}

/** Opens uploads at a store, which end as those of a client that is gone when a test breaks them. */
export function openUpload(store: BackupStore, watch: Watch): OpenUpload {
  return async function* open(produce) {
    const gone = new AbortController();
    const requests = new Channel<UploadBackupRequest>(gone.signal);
    const producing = produce(async (message) => {
      gone.signal.throwIfAborted();
      const bytes = message instanceof Uint8Array;
      requests.push(bytes ? fromBinary(UploadBackupRequestSchema, message) : message);
    });
    producing.then(
      () => requests.end(),
      (error: unknown) => gone.abort(error),
    );
    async function* taken() {
      for (let next = await requests.take(); next; next = await requests.take()) {
        try {
          watch.onRequest?.(next.part);
        } catch (error) {
          gone.abort(error);
        }
        gone.signal.throwIfAborted();
        yield next;
      }
    }
    const limits = { ...UPLOAD_LIMITS, ...watch };
    const call = callContext(gone.signal);
    const answers = uploadBackup(store, taken(), call, watch.verifications ?? unverified, limits);
    for await (const answer of answers) {
      watch.onAnswer?.(answer.part);
      yield answer;
    }
  };
}

/** All requests of an upload of a file of which the service has nothing, at most one segment long. */
export function wholeDialogue(
  file: Buffer,
  start: MessageInitShape<typeof UploadStartSchema> = {},
): UploadBackupRequest[] {
  const pageSizeBytes = start.pageSizeBytes ?? 4096;
  const described = [];
  for (let at = 0; at < file.length; at += 65_536) {
    const digests = pageDigests(file.subarray(at, at + 65_536), pageSizeBytes);
    described.push({ extent: BigInt(at / 65_536), digests });
  }
  const digests = Buffer.concat(described.map(({ digests }) => extentDigest(digests)));
  const frames: UploadBackupRequest[] = [];
  for (let at = 0; at < file.length; at += 262_144) {
    const data = file.subarray(at, at + 262_144);
    const count = Math.ceil(data.length / pageSizeBytes);
    const pages = Array.from({ length: count }, (_, page) => BigInt(at / pageSizeBytes + page));
    frames.push(requestOf({ case: 'frame', value: { pages, codec: FrameCodec.raw, data } }));
  }
  return [
    requestOf({ case: 'start', value: startOf(file, { mode: 2, pageSizeBytes, ...start }) }),
    requestOf({ case: 'extentDigests', value: { digests } }),
    requestOf({ case: 'pageDigests', value: { extents: described } }),
    ...frames,
  ];
}

/** A request of one part. */
export function requestOf(
  part: NonNullable<MessageInitShape<typeof UploadBackupRequestSchema>['part']>,
): UploadBackupRequest {
  return create(UploadBackupRequestSchema, { part });
}

function startOf(file: Buffer, start: MessageInitShape<typeof UploadStartSchema>): UploadStart {
  const { $typeName: _, ...given } = create(UploadStartSchema, start);
  return create(UploadStartSchema, {
    ...given,
    user: start.user ?? 'alice',
    sizeBytes: start.sizeBytes ?? BigInt(file.length),
  });
}

function sourceOf(file: Buffer): Required<Pick<UploadSource, 'sizeBytes' | 'open'>> {
  return { sizeBytes: file.length, open: async () => readerOf(file) };
}

function pagesOf({ firstPage, count }: { firstPage: bigint; count: number }): number[] {
  return Array.from({ length: count }, (_, at) => Number(firstPage) + at);
}
