import { status } from '@grpc/grpc-js';
import { BackscrollError } from '../errors.ts';
import type { Backup } from '../gen/backscroll/backup/v1/backup_pb.ts';
import {
  firstScrypt,
  KEY_BYTES,
  MasterKey,
  SCRYPT_COST,
  type ScryptParameters,
} from './master-key.ts';
import type { SealedDatabase, Sealer } from './sealer.ts';

/** What seals backups before they are sent: 32 random bytes, or a passphrase that becomes such. */
export type BackupKey = Uint8Array | Passphrase;

/** A passphrase from which a key is derived by scrypt. */
export interface Passphrase {
  readonly passphrase: string;
  /**
   * In an upload: take this passphrase also where the newest backup has another one. Otherwise such
   * an upload is refused (reason WRONG_KEY), since a mistyped passphrase opens nothing later.
   */
  readonly replaces?: boolean | undefined;
}

/**
 * Reads a key as it stands in a file or a variable: 32 bytes as they are, or in hex or base64, with
 * white space around it. Throws BackscrollError INVALID_ARGUMENT, reason INVALID_KEY.
 */
export function readKey(contents: Uint8Array | string): Uint8Array {
  if (typeof contents !== 'string' && contents.length === KEY_BYTES) return contents;
  const text = Buffer.from(contents).toString('latin1').trim();
  if (/^[0-9a-f]{64}$/i.test(text)) return Buffer.from(text, 'hex');
  if (/^[\w+/-]{43}=?$/.test(text)) return Buffer.from(text, 'base64');
  throw invalidKey(`a key is ${KEY_BYTES} random bytes, as they are or in hex or base64`);
}

/**
 * The key of an upload. A passphrase takes the salt of the newest backup, so that it becomes the same
 * key again; where that has none, or a cheaper one, the salt is a new one.
 */
export async function uploadKey(
  key: BackupKey,
  database: SealedDatabase,
  uploadId: string,
  newest: Backup | undefined,
): Promise<MasterKey> {
  requireKey(key);
  if (key instanceof Uint8Array) return derive(key);
  const known = newest?.key;
  if (known?.scrypt && isDearEnough(known.scrypt)) {
    const same = await derive(key, known.scrypt);
    if (same.id.equals(known.id)) return same;
    if (!key.replaces) throw wrongKey(newest!, 'sealed by another passphrase');
  }
  return derive(key, firstScrypt(database, uploadId));
}

/**
 * What opens a backup: undefined where it is plain, and no key was given. Throws BackscrollError
 * FAILED_PRECONDITION where the two do not fit (reasons KEY_REQUIRED, WRONG_KEY, NOT_SEALED), and
 * DATA_LOSS where the backup is not as the owner of the key has uploaded it (DIGEST_MISMATCH).
 */
export async function openSealed(
  backup: Backup,
  key: BackupKey | undefined,
  database: SealedDatabase,
): Promise<Sealer | undefined> {
  if (backup.key === undefined) {
    if (key === undefined) return undefined;
    throw unfit('NOT_SEALED', backup, 'plain, and no key can tell who made it');
  }
  if (key === undefined) throw unfit('KEY_REQUIRED', backup, 'sealed by a key');
  requireKey(key);
  const isPassphrase = !(key instanceof Uint8Array);
  if (isPassphrase && !backup.key.scrypt) throw wrongKey(backup, 'sealed by a key, no passphrase');
  const master = await derive(key, backup.key.scrypt);
  if (!master.id.equals(backup.key.id)) {
    throw wrongKey(backup, `sealed by another ${isPassphrase ? 'passphrase' : 'key'}`);
  }
  const sealer = master.sealer(database);
  const { root, sizeBytes, pageSizeBytes } = backup;
  const file = { root, sizeBytes: Number(sizeBytes), pageSizeBytes };
  if (sealer.sealFile(file).equals(backup.seal)) return sealer;
  throw new BackscrollError(`Backup ${backup.number} is not the one that was uploaded`, {
    code: status.DATA_LOSS,
    reason: 'DIGEST_MISMATCH',
  });
}

/** Not every program is checked by types. */
function requireKey(key: BackupKey | null): void {
  if (key instanceof Uint8Array || typeof key?.passphrase === 'string') return;
  throw invalidKey(`a key is a Uint8Array of ${KEY_BYTES} bytes, or { passphrase } with a string`);
}

async function derive(key: BackupKey, scrypt?: ScryptParameters): Promise<MasterKey> {
  try {
    if (key instanceof Uint8Array) return MasterKey.ofBytes(key);
    return await MasterKey.ofPassphrase(key.passphrase, scrypt!);
  } catch (error) {
    throw invalidKey((error as Error).message, error);
  }
}

/** A service that wants cheap keys, so that passphrases can be guessed, gets none. */
function isDearEnough({ log2N, r, p }: ScryptParameters): boolean {
  return log2N >= SCRYPT_COST.log2N && r >= SCRYPT_COST.r && p >= SCRYPT_COST.p;
}

function wrongKey(backup: Backup, why: string): BackscrollError {
  return unfit('WRONG_KEY', backup, why);
}

function unfit(reason: string, { number }: Backup, why: string): BackscrollError {
  const code = status.FAILED_PRECONDITION;
  return new BackscrollError(`Backup ${number} is ${why}`, { code, reason });
}

function invalidKey(message: string, cause?: unknown): BackscrollError {
  const code = status.INVALID_ARGUMENT;
  return new BackscrollError(message, { code, reason: 'INVALID_KEY', cause });
}
