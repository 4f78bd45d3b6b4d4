import { create } from '@bufbuild/protobuf';
import {
  type DeleteBackupRequest,
  type DeleteBackupResponse,
  DeleteBackupResponseSchema,
} from '../../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import type { CallContext } from '../../common/call.ts';
import { markDeleted } from '../domain/kept/deletion.ts';
import { doubtHeads } from '../domain/kept/notes.ts';
import type { BackupStore } from '../store/store.ts';
import { backupNotFound, openBackups } from './answers.ts';
import { parseDatabase, requireBackupNumber } from './requests.ts';

/** Answers DeleteBackup. A backup whose head is damaged can be deleted, too. */
export async function deleteBackup(
  store: BackupStore,
  request: DeleteBackupRequest,
  { caller, signal, log }: CallContext,
): Promise<DeleteBackupResponse> {
  const backups = openBackups(store, parseDatabase(caller, request), log);
  const number = requireBackupNumber(request.number);
  const head = await backups.head(number, signal);
  // What retention deletes it may take back: not any more.
  if (head === undefined || head.notes.has('deleted')) throw backupNotFound();
  await doubtHeads(store, backups.prefix, signal);
  await markDeleted(store, backups.prefix, number, signal);
  return create(DeleteBackupResponseSchema);
}
