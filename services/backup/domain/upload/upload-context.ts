import type { BackupStore } from '../../store/store.ts';
import { type Backups, hasFailed, type KeptBackup, type Newest } from '../kept/backups.ts';
import type { KeptKey } from '../kept/head.ts';
import type { Quota } from '../kept/quota.ts';
import { type DatabaseName, nameAfterErasure, uploadHash } from '../keys.ts';

/** What an upload declares before its data. */
export interface UploadDeclaration extends DatabaseName {
  uploadId: string;
  sizeBytes: number;
  /** SHA-256 of the whole file, or undefined where it need not be checked. */
  sha256: Buffer | undefined;
  databaseCreatedAtMs: number;
  label: string;
  opaque: boolean;
  /** The key that seals the pages; undefined where they are plain. */
  key: KeptKey | undefined;
}

/** A committed upload. */
export interface UploadOutcome {
  backup: KeptBackup;
  unchanged: boolean;
  repeated: boolean;
}

/** What an upload works with. */
export interface UploadContext {
  store: BackupStore;
  backups: Backups;
  /** The state that the upload is compared with. */
  newest: Newest;
  /** The backup that an upload with this id made before; undefined where there was none. */
  committed: KeptBackup | undefined;
  /** Id of the key that seals the upload; undefined where it is plain. */
  keyId: string | undefined;
  /** What it may store. */
  quota: Quota;
  /** Longest that a pack stays open before it is stored, in milliseconds. */
  packOpenMs: number;
  /** When the upload must have ended, in milliseconds since 1970-01-01 UTC, by the store's clock. */
  endMs: number;
  signal: AbortSignal;
  /**
   * Gives back the memory of the request that these bytes of a frame came in, once nothing refers to it
   * any more; absent where requests have no memory of their own.
   */
  release?: (bytes: Uint8Array) => void;
}

/** What an upload comes to whose backup was there before. */
export function repeated(backup: KeptBackup): UploadOutcome {
  return { backup, unchanged: backup.head.unchanged, repeated: true };
}

/**
 * The backup with which an upload is compared: where it made one before, that one, so that what is
 * still there of it is not stored twice; else, or where that has failed its verification, the newest.
 * Undefined where that is sealed otherwise: its digests are made otherwise, too.
 */
export function baseOf({
  newest,
  committed,
  keyId,
}: Pick<UploadContext, 'newest' | 'committed' | 'keyId'>): KeptBackup | undefined {
  const base = committed && !hasFailed(committed) ? committed : newest.backup;
  return base?.head.key?.id === keyId ? base : undefined;
}

/** What the packs of an upload are found by: its id, or after an erasure its name after that. */
export function packName(
  { uploadId }: Pick<UploadDeclaration, 'uploadId'>,
  { newest }: Pick<UploadContext, 'newest'>,
): string {
  const { erasure } = newest;
  return erasure === 0 ? uploadId : nameAfterErasure(erasure, uploadHash(uploadId));
}
