import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  type Backup,
  DeleteAllBackupsRequestSchema,
  DeleteBackupRequestSchema,
  GetUsageRequestSchema,
  PinBackupRequestSchema,
} from '../../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import { Backups } from '../../../services/backup/domain/kept/backups.ts';
import { prune } from '../../../services/backup/domain/kept/prune.ts';
import type { KeepPolicy } from '../../../services/backup/domain/kept/retention.ts';
import { type DatabaseName, keys } from '../../../services/backup/domain/keys.ts';
import { listAll } from '../../../services/backup/domain/listing.ts';
import { deleteAllBackups } from '../../../services/backup/handlers/delete-all-backups.ts';
import { deleteBackup } from '../../../services/backup/handlers/delete-backup.ts';
import { getUsage } from '../../../services/backup/handlers/get-usage.ts';
import { pinBackup } from '../../../services/backup/handlers/pin-backup.ts';
import { TRANSFER_MS } from '../../../services/backup/limits.ts';
import type { BackupStore } from '../../../services/backup/store/store.ts';
import { never } from './engines.ts';
import { callContext } from './transfers.ts';

/** Keeps whatever there is. */
export const KEEP_ALL: KeepPolicy = { last: 0, daily: 0, weekly: 0, monthly: 0, floorMs: 0 };

/** Deletes a numbered backup of alice's, unless told otherwise. */
export async function remove(
  store: BackupStore,
  request: MessageInitShape<typeof DeleteBackupRequestSchema>,
  call = callContext(),
): Promise<void> {
  const message = create(DeleteBackupRequestSchema, { user: 'alice', ...request });
  await deleteBackup(store, message, call);
}

/** Deletes all of alice's backups, or as told; gives how many. */
export async function erase(
  store: BackupStore,
  request: MessageInitShape<typeof DeleteAllBackupsRequestSchema> = {},
  call = callContext(),
): Promise<bigint> {
  const message = create(DeleteAllBackupsRequestSchema, { user: 'alice', ...request });
  return (await deleteAllBackups(store, message, call)).deleted;
}

/** Pins or unpins a backup of alice's, and gives it as it is now. */
export async function pin(
  store: BackupStore,
  request: MessageInitShape<typeof PinBackupRequestSchema>,
  call = callContext(),
): Promise<Backup> {
  const message = create(PinBackupRequestSchema, { user: 'alice', ...request });
  return (await pinBackup(store, message, call)).backup!;
}

/** What alice's backups take up. */
export function usage(store: BackupStore, quotaBytes = 0, call = callContext(), request = {}) {
  const message = create(GetUsageRequestSchema, { user: 'alice', ...request });
  return getUsage(store, quotaBytes, message, call);
}

/** Does what a background round does about the backups of a database, `backup.db` of alice unless told otherwise. */
export function pruneOf(
  store: BackupStore,
  policy: KeepPolicy = KEEP_ALL,
  name: DatabaseName = { user: 'alice', database: 'backup.db' },
): Promise<number> {
  const backups = new Backups(store, keys.database(name), () => {});
  return prune(store, backups, policy, TRANSFER_MS, never);
}

/** Keys of all objects of a user, without what all of them begin with. */
export async function keysOf(store: BackupStore, user = 'alice'): Promise<string[]> {
  const objects = await Array.fromAsync(listAll(store, keys.user(user), never));
  return objects.map(({ key }) => key.slice(keys.user(user).length));
}
