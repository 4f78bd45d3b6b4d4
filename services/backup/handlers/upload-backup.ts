import { create } from '@bufbuild/protobuf';
import {
  type UploadBackupRequest,
  type UploadBackupResponse,
  UploadBackupResponseSchema,
} from '../../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import type { CallContext } from '../../common/call.ts';
import type { KeptBackup } from '../domain/backups.ts';
import { findUpload, uploadIdConflict } from '../domain/commit.ts';
import { markBegun } from '../domain/erasure.ts';
import { Quota } from '../domain/quota.ts';
import {
  baseOf,
  repeated,
  type UploadContext,
  type UploadDeclaration,
  type UploadOutcome,
} from '../domain/upload-context.ts';
import { PACK_OPEN_MS, TRANSFER_MS } from '../limits.ts';
import type { BackupStore } from '../store/store.ts';
import { damageAsDataLoss, openBackups, toBackup } from './answers.ts';
import { receiveIncremental } from './receive-incremental.ts';
import { receivePlain } from './receive-plain.ts';
import type { Answer } from './upload-answers.ts';
import { parseStart } from './upload-start.ts';

/** How long an upload, and a pack of it before it is stored, may take; and how much a user may store. */
export interface UploadLimits extends Pick<UploadContext, 'packOpenMs' | 'transferMs'> {
  /** Bytes; 0 for no limit. */
  quotaBytes: number;
}

/** The limits of an upload unless it is told otherwise. */
export const UPLOAD_LIMITS: UploadLimits = {
  packOpenMs: PACK_OPEN_MS,
  transferMs: TRANSFER_MS,
  quotaBytes: 0,
};

/** Answers UploadBackup. */
export async function* uploadBackup(
  store: BackupStore,
  requests: AsyncIterable<UploadBackupRequest>,
  call: CallContext,
  limits = UPLOAD_LIMITS,
): AsyncGenerator<UploadBackupResponse> {
  try {
    for await (const part of receive(store, requests, call, limits)) {
      yield create(UploadBackupResponseSchema, { part });
    }
  } catch (error) {
    throw damageAsDataLoss(error);
  }
}

async function* receive(
  store: BackupStore,
  requests: AsyncIterable<UploadBackupRequest>,
  { caller, signal, log }: CallContext,
  { quotaBytes, ...times }: UploadLimits,
): AsyncGenerator<Answer, void> {
  const parts = requests[Symbol.asyncIterator]();
  const { declared, pageSizeBytes } = parseStart(caller, await parts.next());
  const backups = openBackups(store, declared, log);
  const newest = await backups.newest(signal);
  const committed = await findUpload(backups, newest, declared.uploadId, signal);
  const mostBytes = committed === undefined ? quotaBytes : 0;
  const quota = await Quota.begin(store, declared.user, mostBytes, signal);
  if (newest.backup === undefined) await markBegun(store, backups.prefix, signal);
  const keyId = declared.key?.id;
  const baseNumber = BigInt(baseOf({ newest, committed, keyId })?.head.number ?? 0);
  const accepted = { uploadId: declared.uploadId, baseNumber };
  yield { case: 'accepted', value: { ...accepted, keyId: Buffer.from(keyId ?? '', 'hex') } };

  if (committed !== undefined && isSameFile(committed, declared)) {
    yield result(repeated(committed));
    return;
  }
  const context: UploadContext = {
    ...{ store, backups, newest, committed, keyId, quota, signal },
    ...times,
  };
  const outcome =
    pageSizeBytes === undefined
      ? yield* receivePlain(parts, declared, context)
      : yield* receiveIncremental(parts, { ...declared, pageSizeBytes }, context);
  yield result(outcome);
}

function result({ backup, ...outcome }: UploadOutcome): Answer {
  return { case: 'result', value: { backup: toBackup(backup), ...outcome } };
}

/** Whether what is declared makes it the backup's file; where it does not tell, the bytes will. */
function isSameFile({ head }: KeptBackup, declared: UploadDeclaration): boolean {
  const sha256 = declared.sha256?.toString('hex') ?? '';
  const bothHashed = head.sha256 !== '' && sha256 !== '';
  const otherHash = bothHashed && head.sha256 !== sha256;
  const otherKey = head.key?.id !== declared.key?.id;
  if (head.sizeBytes !== declared.sizeBytes || otherHash || otherKey) throw uploadIdConflict();
  return bothHashed;
}
