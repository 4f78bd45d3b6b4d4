import { randomUUID } from 'node:crypto';
import { create, fromBinary, type MessageInitShape } from '@bufbuild/protobuf';
import {
  type Backup,
  BackupAgeRequestSchema,
  DownloadBackupRequestSchema,
  type DownloadBackupResponse,
  DownloadBackupResponseSchema,
  ListBackupsRequestSchema,
  type UploadBackupRequest,
  UploadBackupRequestSchema,
  type UploadBackupResponse,
  type UploadResult,
  type UploadStartSchema,
} from '../../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import type { Verifications } from '../../../services/backup/domain/verification/verify.ts';
import { backupAge } from '../../../services/backup/handlers/backup-age.ts';
import { downloadBackup } from '../../../services/backup/handlers/download-backup.ts';
import { listBackups } from '../../../services/backup/handlers/list-backups.ts';
import { UPLOAD_LIMITS, uploadBackup } from '../../../services/backup/handlers/upload-backup.ts';
import type { BackupStore } from '../../../services/backup/store/store.ts';
import type { CallContext } from '../../../services/common/call.ts';
import { createLogger } from '../../../services/common/logger.ts';

/** The call of a service that waits for ever. */
export function callContext(signal = new AbortController().signal): CallContext {
  const log = createLogger('test', 'silent');
  return { caller: { kind: 'service' }, signal, requestId: randomUUID(), log };
}

/** What verifies nothing. */
export const unverified: Verifications = {
  verify: (_backups, backup) => Promise.resolve(backup),
  offer() {},
};

/** The requests of a plain upload; `start` may say other than what is sent. */
export function* uploadRequests(
  file: Uint8Array,
  start: MessageInitShape<typeof UploadStartSchema> = {},
  partBytes = 262_144,
): Generator<UploadBackupRequest> {
  const whole = { user: 'alice', sizeBytes: BigInt(file.length), ...start };
  yield create(UploadBackupRequestSchema, { part: { case: 'start', value: whole } });
  for (let at = 0; at < file.length; at += partBytes) {
    const value = file.subarray(at, at + partBytes);
    yield create(UploadBackupRequestSchema, { part: { case: 'data', value } });
  }
}

/** Sends requests to UploadBackup, and collects its answers. */
export async function send(
  store: BackupStore,
  requests: Iterable<UploadBackupRequest>,
  signal?: AbortSignal,
  verifications = unverified,
  limits = UPLOAD_LIMITS,
): Promise<UploadBackupResponse['part'][]> {
  async function* asynchronously() {
    yield* requests;
  }
  const answers: UploadBackupResponse['part'][] = [];
  for await (const { part } of uploadBackup(
    store,
    asynchronously(),
    callContext(signal),
    verifications,
    limits,
  )) {
    answers.push(part);
  }
  return answers;
}

/** Uploads a file as a plain client does. */
export async function upload(
  store: BackupStore,
  file: Uint8Array,
  start?: MessageInitShape<typeof UploadStartSchema>,
  partBytes?: number,
  verifications?: Verifications,
): Promise<UploadResult & { backup: Backup }> {
  const requests = uploadRequests(file, start, partBytes);
  const last = (await send(store, requests, undefined, verifications)).at(-1);
  if (last?.case !== 'result' || last.value.backup === undefined) throw new Error('no result');
  return { ...last.value, backup: last.value.backup };
}

/** Downloads a backup: its description, and its bytes from the offset on. */
export async function download(
  store: BackupStore,
  request: MessageInitShape<typeof DownloadBackupRequestSchema> = {},
): Promise<{ backup: Backup; file: Buffer }> {
  let backup: Backup | undefined;
  const parts: Uint8Array[] = [];
  for await (const part of downloadParts(store, request)) {
    if (part.case === 'backup') backup = part.value;
    if (part.case === 'data') parts.push(part.value);
  }
  if (backup === undefined) throw new Error('no description');
  return { backup, file: Buffer.concat(parts) };
}

/** A download's answers, as they are taken. */
export async function* downloadParts(
  store: BackupStore,
  request: MessageInitShape<typeof DownloadBackupRequestSchema>,
): AsyncGenerator<DownloadBackupResponse['part'], void> {
  const message = create(DownloadBackupRequestSchema, { user: 'alice', ...request });
  for await (const answer of downloadBackup(store, message, callContext())) {
    const isBytes = answer instanceof Uint8Array;
    const { part } = isBytes ? fromBinary(DownloadBackupResponseSchema, answer) : answer;
    yield part;
  }
}

/** One page of a list. */
export function list(
  store: BackupStore,
  request: MessageInitShape<typeof ListBackupsRequestSchema> = {},
) {
  const message = create(ListBackupsRequestSchema, { user: 'alice', ...request });
  return listBackups(store, message, callContext());
}

/** The age of the newest backup. */
export function age(
  store: BackupStore,
  request: MessageInitShape<typeof BackupAgeRequestSchema> = {},
) {
  const message = create(BackupAgeRequestSchema, { user: 'alice', ...request });
  return backupAge(store, message, callContext());
}

/**
 * A SQLite database without tables, for which no page but its first counts, so that they may hold
 * anything: `pages` pages that compress somewhat and are all different.
 */
export function madeDatabase(pages: number, pageSize = 4096, seed = 0): Buffer {
  const file = Buffer.alloc(pages * pageSize);
  for (let page = 0; page < pages; page++) writePage(file, page, pageSize, seed);
  file.write('SQLite format 3\0', 'latin1');
  file.writeUInt16BE(pageSize === 65_536 ? 1 : pageSize, 16);
  // A rollback journal, no reserved bytes, and what SQLite demands of three further numbers.
  file.set([1, 1, 0, 64, 32, 32], 18);
  // Its size in pages, which counts where the numbers of its last change agree.
  for (const at of [24, 28, 92]) file.writeUInt32BE(1, at);
  // UTF-8, and the schema's tree: a leaf without cells.
  file.writeUInt32BE(1, 56);
  file.set([0x0d, 0, 0, 0, 0, pageSize === 65_536 ? 0 : pageSize >> 8, pageSize & 0xff, 0], 100);
  return file;
}

/** Writes other content into a page, all but what the first one needs. */
export function writePage(file: Buffer, page: number, pageSize: number, seed: number): void {
  const text = `page ${page} of seed ${seed}: `;
  file.fill(text, page * pageSize + (page === 0 ? 108 : 0), (page + 1) * pageSize);
  // Some of each page does not compress.
  for (let at = 200; at < 328; at += 4) {
    file.writeUInt32LE(Math.imul(page * 131 + at, 0x9e3779b1 + seed) >>> 0, page * pageSize + at);
  }
}
