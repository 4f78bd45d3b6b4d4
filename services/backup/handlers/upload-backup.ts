import { randomUUIDv7 } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import { LARGEST_FILE_BYTES } from '../../../clients/format/units.ts';
import {
  type UploadBackupRequest,
  type UploadBackupResponse,
  UploadBackupResponseSchema,
  UploadMode,
  type UploadStart,
} from '../../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import type { CallContext, Caller } from '../../common/call.ts';
import { failedPrecondition, invalidArgument } from '../../common/errors.ts';
import type { KeptBackup } from '../domain/backups.ts';
import { findUpload, uploadIdConflict } from '../domain/commit.ts';
import {
  baseOf,
  repeated,
  type UploadDeclaration,
  type UploadOutcome,
} from '../domain/paged-upload.ts';
import { Upload } from '../domain/upload.ts';
import { DATA_PART_BYTES, LABEL_BYTES, PROGRESS_BYTES, UPLOAD_ID_BYTES } from '../limits.ts';
import type { BackupStore } from '../store/store.ts';
import { damageAsDataLoss, openBackups, toBackup } from './answers.ts';
import { checkText, parseCount, parseDatabase } from './requests.ts';

/** Answers UploadBackup, for plain clients. */
export async function* uploadBackup(
  store: BackupStore,
  requests: AsyncIterable<UploadBackupRequest>,
  call: CallContext,
): AsyncGenerator<UploadBackupResponse> {
  try {
    yield* receive(store, requests, call);
  } catch (error) {
    throw damageAsDataLoss(error);
  }
}

async function* receive(
  store: BackupStore,
  requests: AsyncIterable<UploadBackupRequest>,
  { caller, signal, log }: CallContext,
): AsyncGenerator<UploadBackupResponse> {
  const parts = requests[Symbol.asyncIterator]();
  const declared = parseStart(caller, await parts.next());
  const backups = openBackups(store, declared, log);
  const newest = await backups.newest(signal);
  const committed = await findUpload(backups, newest, declared.uploadId, signal);
  const baseNumber = BigInt(baseOf({ newest, committed })?.head.number ?? 0);
  yield answer({ case: 'accepted', value: { uploadId: declared.uploadId, baseNumber } });

  if (committed !== undefined && isSameFile(committed, declared)) {
    yield result(repeated(committed));
    return;
  }
  await using upload = new Upload(declared, { store, backups, newest, committed, signal });
  let reportedBytes = 0;
  for (let part = await parts.next(); !part.done; part = await parts.next()) {
    await upload.take(parseData(part.value));
    const { receivedBytes, storedBytes } = upload;
    if (receivedBytes - reportedBytes < PROGRESS_BYTES) continue;
    reportedBytes = receivedBytes;
    const progress = { receivedBytes: BigInt(receivedBytes), storedBytes: BigInt(storedBytes) };
    yield answer({ case: 'progress', value: progress });
  }
  yield result(await upload.finish());
}

type Answer = NonNullable<Parameters<typeof create<typeof UploadBackupResponseSchema>>[1]>['part'];

function answer(part: NonNullable<Answer>): UploadBackupResponse {
  return create(UploadBackupResponseSchema, { part });
}

function result({ backup, ...outcome }: UploadOutcome): UploadBackupResponse {
  return answer({ case: 'result', value: { backup: toBackup(backup), ...outcome } });
}

function parseStart(caller: Caller, first: IteratorResult<UploadBackupRequest>): UploadDeclaration {
  if (first.done || first.value.part.case !== 'start') {
    throw invalidArgument('OUT_OF_ORDER', 'start', 'must be the first message');
  }
  const start = first.value.part.value;
  const name = parseDatabase(caller, start, 'start.');
  checkText('start.upload_id', start.uploadId, UPLOAD_ID_BYTES);
  checkText('start.label', start.label, LABEL_BYTES);
  checkMode(start);
  return {
    ...name,
    uploadId: start.uploadId || randomUUIDv7(),
    sizeBytes: parseSize('start.size_bytes', start.sizeBytes),
    sha256: parseSha256(start.sha256),
    databaseCreatedAtMs: parseTime('start.database_created_at_ms', start.databaseCreatedAtMs),
    label: start.label,
    opaque: start.opaque,
  };
}

function checkMode(start: UploadStart): void {
  if (start.mode === UploadMode.INCREMENTAL) {
    throw failedPrecondition(
      'MODE_NOT_SERVED',
      'incremental uploads are not served: send it plain',
    );
  }
  if (start.mode !== UploadMode.PLAIN && start.mode !== UploadMode.UNSPECIFIED) {
    throw invalidArgument('INVALID_FIELD', 'start.mode', 'is unknown');
  }
  if (start.pageSizeBytes !== 0) {
    throw invalidArgument('INVALID_FIELD', 'start.page_size_bytes', 'must be 0 in a plain upload');
  }
}

function parseSize(field: string, sizeBytes: bigint): number {
  if (sizeBytes === 0n) {
    throw invalidArgument('MISSING_FIELD', field, 'is required: no database is empty');
  }
  if (sizeBytes <= BigInt(LARGEST_FILE_BYTES)) return Number(sizeBytes);
  throw invalidArgument('TOO_LARGE', field, `must be at most ${LARGEST_FILE_BYTES}`);
}

function parseSha256(sha256: Uint8Array): Buffer | undefined {
  if (sha256.length === 0) return undefined;
  if (sha256.length === 32) return Buffer.from(sha256);
  throw invalidArgument('INVALID_FIELD', 'start.sha256', 'must be 32 bytes, or empty');
}

function parseTime(field: string, ms: bigint): number {
  if (ms < 0n) throw invalidArgument('INVALID_FIELD', field, 'must not be negative');
  return parseCount(field, ms, Number.MAX_SAFE_INTEGER);
}

function parseData({ part }: UploadBackupRequest): Uint8Array {
  if (part.case !== 'data') {
    const field = part.case ?? 'part';
    throw invalidArgument(
      'OUT_OF_ORDER',
      field,
      'only data may follow the start of a plain upload',
    );
  }
  // A stream of nothing but these would go on for ever.
  if (part.value.length === 0) throw invalidArgument('INVALID_FIELD', 'data', 'must not be empty');
  if (part.value.length > DATA_PART_BYTES) {
    throw invalidArgument('TOO_LARGE', 'data', `must be at most ${DATA_PART_BYTES} bytes`);
  }
  return part.value;
}

/** Whether what is declared makes it the backup's file; where it does not tell, the bytes will. */
function isSameFile({ head }: KeptBackup, declared: UploadDeclaration): boolean {
  const sha256 = declared.sha256?.toString('hex') ?? '';
  const bothHashed = head.sha256 !== '' && sha256 !== '';
  const otherHash = bothHashed && head.sha256 !== sha256;
  if (head.sizeBytes !== declared.sizeBytes || otherHash) throw uploadIdConflict();
  return bothHashed;
}
