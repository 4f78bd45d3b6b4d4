import { create } from '@bufbuild/protobuf';
import {
  type GetBackupRequest,
  type GetBackupResponse,
  GetBackupResponseSchema,
} from '../../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import type { CallContext } from '../../common/call.ts';
import type { BackupStore } from '../store/store.ts';
import { damageAsDataLoss, findBackup, openBackups, toBackup } from './answers.ts';
import { parseBackupNumber, parseDatabase } from './requests.ts';

/** Answers GetBackup. */
export async function getBackup(
  store: BackupStore,
  request: GetBackupRequest,
  { caller, signal, log }: CallContext,
): Promise<GetBackupResponse> {
  const backups = openBackups(store, parseDatabase(caller, request), log);
  const number = parseBackupNumber(request.number);
  try {
    const backup = await findBackup(backups, number, signal);
    return create(GetBackupResponseSchema, { backup: toBackup(backup) });
  } catch (error) {
    throw damageAsDataLoss(error);
  }
}
