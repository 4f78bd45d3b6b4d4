import { create } from '@bufbuild/protobuf';
import {
  type UploadBackupRequest,
  type UploadBackupResponse,
  UploadBackupResponseSchema,
} from '../../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import type { CallContext } from '../../common/call.ts';
import { type Backups, hasFailed, type KeptBackup } from '../domain/kept/backups.ts';
import { markBegun } from '../domain/kept/erasure.ts';
import { Quota } from '../domain/kept/quota.ts';
import { erased, findUpload, uploadIdConflict } from '../domain/upload/commit.ts';
import {
  baseOf,
  repeated,
  type UploadContext,
  type UploadDeclaration,
  type UploadOutcome,
} from '../domain/upload/upload-context.ts';
import type { Verifications } from '../domain/verification/verify.ts';
import { PACK_OPEN_MS, TRANSFER_MS } from '../limits.ts';
import type { BackupStore } from '../store/store.ts';
import { damageAsDataLoss, openBackups, toBackup } from './answers.ts';
import { receiveIncremental } from './receive-incremental.ts';
import { receivePlain } from './receive-plain.ts';
import type { Answer } from './upload-answers.ts';
import { parseStart } from './upload-start.ts';

/** How long an upload, and a pack of it before it is stored, may take; and how much a user may store. */
export interface UploadLimits extends Pick<UploadContext, 'packOpenMs'> {
  /** Longest that the upload may take, in milliseconds. */
  transferMs: number;
  /** Bytes; 0 for no limit. */
  quotaBytes: number;
}

/** The call of an upload, and what may be done with its requests. */
export interface UploadCall extends CallContext, Pick<UploadContext, 'release'> {}

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
  call: UploadCall,
  verifications: Verifications,
  limits = UPLOAD_LIMITS,
): AsyncGenerator<UploadBackupResponse> {
  try {
    for await (const part of receive(store, requests, call, verifications, limits)) {
      yield create(UploadBackupResponseSchema, { part });
    }
  } catch (error) {
    throw damageAsDataLoss(error);
  }
}

async function* receive(
  store: BackupStore,
  requests: AsyncIterable<UploadBackupRequest>,
  { caller, signal, log, release }: UploadCall,
  verifications: Verifications,
  { quotaBytes, packOpenMs, transferMs }: UploadLimits,
): AsyncGenerator<Answer, void> {
  const parts = requests[Symbol.asyncIterator]();
  const { declared, pageSizeBytes, waitForVerification } = parseStart(caller, await parts.next());
  const backups = openBackups(store, declared, log);
  // Before it is seen what the upload may rely on.
  const endMs = (await store.nowMs(signal)) + transferMs;
  const newest = await backups.newest(signal);
  const committed = await findUpload(backups, newest, declared.uploadId, signal);
  const mostBytes = committed === undefined ? quotaBytes : 0;
  const quota = await Quota.begin(store, declared.user, mostBytes, signal);
  if (newest.backup === undefined) await markBegun(store, backups.prefix, signal);
  const keyId = declared.key?.id;
  const baseNumber = BigInt(baseOf({ newest, committed, keyId })?.head.number ?? 0);
  const accepted = { uploadId: declared.uploadId, baseNumber };
  yield { case: 'accepted', value: { ...accepted, keyId: Buffer.from(keyId ?? '', 'hex') } };

  const verified = (outcome: UploadOutcome) =>
    verify(outcome, waitForVerification, verifications, backups, signal);
  if (committed !== undefined && isSameFile(committed, declared) && !isDamaged(committed)) {
    yield result(await verified(repeated(committed)));
    return;
  }
  const context: UploadContext = {
    ...{ store, backups, newest, committed, keyId, quota, signal },
    ...{ packOpenMs, endMs },
    ...(release && { release }),
  };
  const outcome =
    pageSizeBytes === undefined
      ? yield* receivePlain(parts, declared, context)
      : yield* receiveIncremental(parts, { ...declared, pageSizeBytes }, context);
  yield result(await verified(outcome));
}

/** Has a committed backup verified: in the background, or at once where somebody waits for it. */
async function verify(
  outcome: UploadOutcome,
  wait: boolean,
  verifications: Verifications,
  backups: Backups,
  signal: AbortSignal,
): Promise<UploadOutcome> {
  const { backup } = outcome;
  const isKnown = backup.passedAtMs !== undefined || hasFailed(backup);
  // What was damaged came anew with the upload's repeat: the old result no longer holds.
  if (isDamaged(backup) || (wait && !isKnown)) {
    const verified = await verifications.verify(backups, backup, signal);
    if (verified === undefined) throw erased();
    return { ...outcome, backup: verified };
  }
  if (!isKnown) verifications.offer(backups.prefix);
  return outcome;
}

/** Whether something of a backup was found damaged, which its upload can mend. */
function isDamaged({ failure }: KeptBackup): boolean {
  return failure?.reason === 'DAMAGED';
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
