import { create } from '@bufbuild/protobuf';
import {
  type PinBackupRequest,
  type PinBackupResponse,
  PinBackupResponseSchema,
} from '../../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import type { CallContext } from '../../common/call.ts';
import { keys } from '../domain/keys.ts';
import type { BackupStore } from '../store/store.ts';
import { damageAsDataLoss, findBackup, openBackups, toBackup } from './answers.ts';
import { parseDatabase, requireBackupNumber } from './requests.ts';

/** Answers PinBackup. */
export async function pinBackup(
  store: BackupStore,
  request: PinBackupRequest,
  { caller, signal, log }: CallContext,
): Promise<PinBackupResponse> {
  const backups = openBackups(store, parseDatabase(caller, request), log);
  const number = requireBackupNumber(request.number);
  try {
    await findBackup(backups, number, signal);
    const asked = keys.note(backups.prefix, number, 'pin-asked');
    if (request.unpin) {
      await store.delete(asked, signal);
      await store.delete(keys.note(backups.prefix, number, 'pin-warned'), signal);
    } else await store.put(asked, Buffer.alloc(0), signal);
    // It may have been deleted before the pin was there.
    const backup = await findBackup(backups, number, signal);
    return create(PinBackupResponseSchema, { backup: toBackup(backup) });
  } catch (error) {
    throw damageAsDataLoss(error);
  }
}
