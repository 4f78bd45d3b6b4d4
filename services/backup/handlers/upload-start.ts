import { randomUUIDv7 } from 'node:crypto';
import {
  isPageSize,
  LARGEST_FILE_BYTES,
  SMALLEST_PAGE_BYTES,
} from '../../../clients/format/units.ts';
import {
  type SealingKey,
  type UploadBackupRequest,
  UploadMode,
  type UploadStart,
} from '../../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import type { Caller } from '../../common/call.ts';
import { invalidArgument } from '../../common/errors.ts';
import type { KeptKey } from '../domain/kept/head.ts';
import type { UploadDeclaration } from '../domain/upload/upload-context.ts';
import { LABEL_BYTES, UPLOAD_ID_BYTES } from '../limits.ts';
import { checkText, parseCount, parseDatabase } from './requests.ts';

/** What a start declares and asks for; the page size is that of an incremental upload, else undefined. */
export interface ParsedStart {
  declared: UploadDeclaration;
  pageSizeBytes: number | undefined;
  waitForVerification: boolean;
}

/**
 * Reads the first message of an upload.
 *
 * @throws ServiceError INVALID_ARGUMENT; PERMISSION_DENIED where a user names another one
 */
export function parseStart(
  caller: Caller,
  first: IteratorResult<UploadBackupRequest>,
): ParsedStart {
  if (first.done || first.value.part.case !== 'start') {
    throw invalidArgument('OUT_OF_ORDER', 'start', 'must be the first message');
  }
  const start = first.value.part.value;
  const name = parseDatabase(caller, start, 'start.');
  checkText('start.upload_id', start.uploadId, UPLOAD_ID_BYTES);
  checkText('start.label', start.label, LABEL_BYTES);
  const pageSizeBytes = parsePageSize(start);
  const declared = {
    ...name,
    uploadId: start.uploadId || randomUUIDv7(),
    sizeBytes: parseSize('start.size_bytes', start.sizeBytes),
    sha256: parseSha256(start),
    databaseCreatedAtMs: parseTime('start.database_created_at_ms', start.databaseCreatedAtMs),
    label: start.label,
    opaque: start.opaque,
    key: parseKey(start),
  };
  return { declared, pageSizeBytes, waitForVerification: start.waitForVerification };
}

function parsePageSize({ mode, pageSizeBytes, opaque }: UploadStart): number | undefined {
  const field = 'start.page_size_bytes';
  if (mode === UploadMode.INCREMENTAL) {
    if (isPageSize(pageSizeBytes) && (!opaque || pageSizeBytes === SMALLEST_PAGE_BYTES)) {
      return pageSizeBytes;
    }
    const allowed = opaque ? `${SMALLEST_PAGE_BYTES}` : 'a power of two from 4,096 to 65,536';
    throw invalidArgument('INVALID_FIELD', field, `must be ${allowed} in such an upload`);
  }
  if (mode !== UploadMode.PLAIN && mode !== UploadMode.UNSPECIFIED) {
    throw invalidArgument('INVALID_FIELD', 'start.mode', 'is unknown');
  }
  if (pageSizeBytes === 0) return undefined;
  throw invalidArgument('INVALID_FIELD', field, 'must be 0 in a plain upload');
}

function parseSize(field: string, sizeBytes: bigint): number {
  if (sizeBytes === 0n) {
    throw invalidArgument('MISSING_FIELD', field, 'is required: no database is empty');
  }
  if (sizeBytes <= BigInt(LARGEST_FILE_BYTES)) return Number(sizeBytes);
  throw invalidArgument('TOO_LARGE', field, `must be at most ${LARGEST_FILE_BYTES}`);
}

function parseSha256({ sha256, mode }: UploadStart): Buffer | undefined {
  if (sha256.length === 0) return undefined;
  const field = 'start.sha256';
  if (mode === UploadMode.INCREMENTAL) {
    throw invalidArgument('INVALID_FIELD', field, 'must be empty where not the whole file comes');
  }
  if (sha256.length === 32) return Buffer.from(sha256);
  throw invalidArgument('INVALID_FIELD', field, 'must be 32 bytes, or empty');
}

function parseTime(field: string, ms: bigint): number {
  if (ms < 0n) throw invalidArgument('INVALID_FIELD', field, 'must not be negative');
  return parseCount(field, ms, Number.MAX_SAFE_INTEGER);
}

function parseKey({ key, mode }: UploadStart): KeptKey | undefined {
  if (key === undefined) return undefined;
  if (mode !== UploadMode.INCREMENTAL) {
    throw invalidArgument('INVALID_FIELD', 'start.key', 'must be absent in a plain upload');
  }
  checkBytes('start.key.id', key.id, 16, 16);
  return { id: Buffer.from(key.id).toString('hex'), scrypt: parseScrypt(key) };
}

function parseScrypt({ scrypt }: SealingKey): KeptKey['scrypt'] {
  if (scrypt === undefined) return undefined;
  const { salt, log2N, r, p } = scrypt;
  checkBytes('start.key.scrypt.salt', salt, 16, 64);
  checkRange('start.key.scrypt.log2_n', log2N, 14, 20);
  checkRange('start.key.scrypt.r', r, 1, 32);
  checkRange('start.key.scrypt.p', p, 1, 16);
  return { salt: Buffer.from(salt).toString('hex'), log2N, r, p };
}

function checkBytes(field: string, { length }: Uint8Array, least: number, most: number): void {
  if (length === 0) throw invalidArgument('MISSING_FIELD', field, 'is required with its message');
  if (length >= least && length <= most) return;
  const allowed = least === most ? `${least}` : `${least} to ${most}`;
  throw invalidArgument('INVALID_FIELD', field, `must be ${allowed} bytes`);
}

function checkRange(field: string, value: number, least: number, most: number): void {
  if (value >= least && value <= most) return;
  throw invalidArgument('INVALID_FIELD', field, `must be ${least} to ${most}`);
}
