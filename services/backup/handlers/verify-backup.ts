import { create } from '@bufbuild/protobuf';
import {
  type VerifyBackupRequest,
  type VerifyBackupResponse,
  VerifyBackupResponseSchema,
} from '../../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import type { CallContext } from '../../common/call.ts';
import type { Verifications } from '../domain/verification/verify.ts';
import type { BackupStore } from '../store/store.ts';
import { backupNotFound, damageAsDataLoss, findBackup, openBackups, toBackup } from './answers.ts';
import { parseBackupNumber, parseDatabase } from './requests.ts';

/** Answers VerifyBackup. */
export async function verifyBackup(
  store: BackupStore,
  verifications: Verifications,
  request: VerifyBackupRequest,
  { caller, signal, log }: CallContext,
): Promise<VerifyBackupResponse> {
  const backups = openBackups(store, parseDatabase(caller, request), log);
  const number = parseBackupNumber(request.number);
  try {
    // The newest is wanted whatever is known of it.
    const [newest] = number === 0 ? await backups.list(Number.MAX_SAFE_INTEGER, 1, signal) : [];
    const backup = newest ?? (await findBackup(backups, number, signal));
    const verified = await verifications.verify(backups, backup, signal);
    if (verified === undefined) throw backupNotFound();
    return create(VerifyBackupResponseSchema, { backup: toBackup(verified) });
  } catch (error) {
    throw damageAsDataLoss(error);
  }
}
