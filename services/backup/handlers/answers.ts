import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  type BackupSchema,
  Pin,
  type SealingKeySchema,
  type VerificationSchema,
  VerificationState,
  Warning,
} from '../../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import type { CallContext } from '../../common/call.ts';
import { dataLoss, notFound, type ServiceError } from '../../common/errors.ts';
import { DamageError } from '../domain/coding.ts';
import { Backups, hasFailed, type KeptBackup } from '../domain/kept/backups.ts';
import { logDamagedHeads } from '../domain/kept/damaged-heads.ts';
import type { HeadWarning, KeptKey } from '../domain/kept/head.ts';
import { type DatabaseName, keys } from '../domain/keys.ts';
import type { BackupStore } from '../store/store.ts';

const WARNINGS: Record<HeadWarning, Warning> = {
  shrunk: Warning.SHRUNK,
  younger: Warning.YOUNGER,
};

/** The backups of a database; damaged heads are left out, and logged. */
export function openBackups(
  store: BackupStore,
  name: DatabaseName,
  log: CallContext['log'],
): Backups {
  return new Backups(store, keys.database(name), logDamagedHeads(log));
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
    verification: verificationOf(kept),
    pin: pinOf(kept),
    warnings: (head.warnings ?? []).map((warning) => WARNINGS[warning]),
    ...(head.key && { key: keyOf(head.key), seal: Buffer.from(head.seal ?? '', 'hex') }),
  };
}

function verificationOf(
  kept: Pick<KeptBackup, 'notes' | 'passedAtMs' | 'failure'>,
): MessageInitShape<typeof VerificationSchema> {
  if (hasFailed(kept)) {
    const atMs = BigInt(kept.notes.get('failed') ?? 0);
    return { state: VerificationState.FAILED, atMs, ...kept.failure };
  }
  if (kept.passedAtMs === undefined) return {};
  return { state: VerificationState.PASSED, atMs: BigInt(kept.passedAtMs) };
}

function keyOf({ id, scrypt }: KeptKey): MessageInitShape<typeof SealingKeySchema> {
  return {
    id: Buffer.from(id, 'hex'),
    ...(scrypt && { scrypt: { ...scrypt, salt: Buffer.from(scrypt.salt, 'hex') } }),
  };
}

function pinOf({ notes }: Pick<KeptBackup, 'notes'>): Pin {
  if (notes.has('pin-asked')) return Pin.ASKED;
  return notes.has('pin-warned') ? Pin.BEFORE_WARNING : Pin.UNSPECIFIED;
}

/**
 * The backup with a number; with 0 the newest that has not failed its verification.
 *
 * @throws ServiceError NOT_FOUND; DamageError where its head is damaged
 */
export async function findBackup(
  backups: Backups,
  number: number,
  signal: AbortSignal,
): Promise<KeptBackup> {
  const found =
    number === 0 ? (await backups.newest(signal)).backup : await backups.numbered(number, signal);
  if (found !== undefined) return found;
  throw backupNotFound();
}

/** The error of a call that names a backup which is not there. */
export function backupNotFound(): ServiceError {
  return notFound('BACKUP_NOT_FOUND', 'there is no such backup');
}

/** What the caller is told when stored bytes are damaged; any other error stays what it is. */
export function damageAsDataLoss(error: unknown): unknown {
  if (!(error instanceof DamageError)) return error;
  return dataLoss('DAMAGED', `the backup is damaged: ${error.message}`, { cause: error });
}
