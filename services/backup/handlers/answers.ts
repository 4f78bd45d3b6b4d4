import type { MessageInitShape } from '@bufbuild/protobuf';
import type { BackupSchema } from '../../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import type { CallContext } from '../../common/call.ts';
import { dataLoss } from '../../common/errors.ts';
import { Backups, type KeptBackup } from '../domain/backups.ts';
import { DamageError } from '../domain/coding.ts';
import type { DatabaseName } from '../domain/keys.ts';
import type { BackupStore } from '../store/store.ts';

/** The backups of a database; damaged heads are left out, and logged by their keys, which name nobody. */
export function openBackups(
  store: BackupStore,
  name: DatabaseName,
  log: CallContext['log'],
): Backups {
  return new Backups(store, name, (key, error) => {
    log.error({ key, fault: error.message }, 'a damaged head was left out');
  });
}

/** A kept backup as the proto tells of it. */
export function toBackup({ head, ...kept }: KeptBackup): MessageInitShape<typeof BackupSchema> {
  return {
    user: head.user,
    database: head.database,
    number: BigInt(head.number),
    sizeBytes: BigInt(head.sizeBytes),
    root: Buffer.from(head.root, 'hex'),
    createdAtMs: BigInt(kept.createdAtMs),
    databaseCreatedAtMs: BigInt(head.databaseCreatedAtMs),
    label: head.label,
    uploadId: head.uploadId,
    storedBytes: BigInt(kept.storedBytes),
    sha256: Buffer.from(head.sha256, 'hex'),
    pageSizeBytes: head.pageSizeBytes,
    opaque: head.opaque,
  };
}

/** What the caller is told when stored bytes are damaged; any other error stays what it is. */
export function damageAsDataLoss(error: unknown): unknown {
  if (!(error instanceof DamageError)) return error;
  return dataLoss('DAMAGED', `the backup is damaged: ${error.message}`, { cause: error });
}
