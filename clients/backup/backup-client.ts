import { create } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import { Attempts, willPass } from '../attempts.ts';
import {
  type CallOptions,
  callBidi,
  callServerStream,
  callUnary,
  typedMethods,
  unhurried,
} from '../calls.ts';
import { BackscrollError } from '../errors.ts';
import { canUnpackFrames } from '../format/frames.ts';
import { release } from '../format/memory.ts';
import {
  type Backup,
  BackupAgeRequestSchema,
  type BackupAgeResponse,
  BackupService,
  DeleteAllBackupsRequestSchema,
  DeleteBackupRequestSchema,
  DownloadBackupRequestSchema,
  GetBackupRequestSchema,
  GetUsageRequestSchema,
  type GetUsageResponse,
  ListBackupsRequestSchema,
  PinBackupRequestSchema,
  type UploadStart,
  UploadStartSchema,
  VerifyBackupRequestSchema,
} from '../gen/backscroll/backup/v1/backup_pb.ts';
import { pagesOf } from '../pages.ts';
import { type BackupKey, openSealed, uploadKey } from '../sealing/backup-key.ts';
import type { MasterKey } from '../sealing/master-key.ts';
import { requireSealable, requireZstd } from '../sealing/requirements.ts';
import type { SealedDatabase, Sealer } from '../sealing/sealer.ts';
import { ServiceClient } from '../service-client.ts';
import { uuidv7 } from '../uuid.ts';
import { fileSource, refuseMixing, type UploadSource } from './database-file.ts';
import { Download, type OpenDownload } from './download.ts';
import { type SealerOf, unpackFrames } from './frames-download.ts';
import { IncrementalUploader } from './incremental-uploader.ts';
import { refuseTaken, writeNewFile } from './new-file.ts';
import {
  type OpenUpload,
  PlainUploader,
  type Uploaded,
  type Uploader,
  type UploadProgress,
} from './upload.ts';

/** The name of a database that is given none. */
export const DEFAULT_DATABASE = 'backup.db';

/** Names a database of a user. */
export interface Database {
  /** Whose database it is. */
  readonly user: string;
  /** Name of the database; `backup.db` where it is absent. */
  readonly database?: string | undefined;
}

/** What is uploaded, and how; what the fields mean to the service is explained in the proto. */
export interface UploadOptions extends Database, CallOptions {
  /** Idempotency key; made here, before the first try, where it is absent. */
  readonly uploadId?: string | undefined;
  /** SHA-256 of the whole file, 32 bytes: other bytes are refused. */
  readonly sha256?: Uint8Array | undefined;
  /** When the database was first made, in milliseconds since 1970-01-01 UTC. */
  readonly databaseCreatedAtMs?: bigint | number | undefined;
  /** Words to find the backup by, at most 255 bytes. */
  readonly label?: string | undefined;
  /** The file is encrypted by itself, and need not begin with a SQLite header. */
  readonly opaque?: boolean | undefined;
  /** Seals what is sent, so that nobody can read or alter it without the key. */
  readonly key?: BackupKey | undefined;
  /** Resolve only once the backup was verified: its `verification` tells what that came to. */
  readonly waitForVerification?: boolean | undefined;
  /** Told after each piece that was sent; begins anew with each try. */
  readonly onProgress?: ((progress: UploadProgress) => void) | undefined;
}

/** Which backup is read. */
export interface DownloadOptions extends Database, CallOptions {
  /** Number of the backup; the newest where it is absent. */
  readonly number?: bigint | number | undefined;
  /** What sealed it: needed for a sealed backup, and refused with a plain one. */
  readonly key?: BackupKey | undefined;
  /** Byte of the file to begin with. Name the number as well: the newest changes. */
  readonly offsetBytes?: number | undefined;
}

/** Names one backup. */
export interface NumberedBackup extends Database {
  readonly number: bigint | number;
}

/** How old a database's newest backup is. */
export type BackupAge = BackupAgeResponse & {
  readonly ageSeconds: number;
  readonly databaseAgeSeconds: number;
};

/** What a download has come to. */
export interface DownloadProgress {
  /** Bytes of the file received. */
  readonly receivedBytes: number;
  /** Bytes of the file in all. */
  readonly sizeBytes: number;
}

/** Which backup is written to a file. */
export interface DownloadToFileOptions extends Omit<DownloadOptions, 'offsetBytes'> {
  /** Replace a file that exists. */
  readonly overwrite?: boolean | undefined;
  /** Told after each piece that was written. */
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
}

/**
 * Calls a backup service. Answers are the proto's own messages: numbers, sizes and times are
 * `bigint`s. Whatever a call fails with is a `BackscrollError` with a `reason`, or the error of a
 * file or source of the caller's. One client serves any number of calls at once.
 */
export class BackupClient extends ServiceClient {
  /**
   * Uploads one state of a database: a file's path, or a source of bytes. Of a source that can be read
   * at any position only the pages are sent that the service lacks (on Node 22.15 and newer, which
   * knows zstd); all of it where it can't, or where `sha256` is given for the service to check.
   *
   * When the service is gone (UNAVAILABLE) or busy (TOO_MANY_CALLS), or another upload came first
   * (ABORTED), it goes on by itself, up to 12 times (4 where the service never answered) without
   * coming further; the upload id keeps it one backup. So does another call with the same id, and what
   * the service has stored by then is not sent again. A database that is open in another program is
   * refused where that shows (see `fileSource`).
   *
   * With a `key` all that is sent of the file is sealed, or the upload fails: INVALID_ARGUMENT (reason
   * INVALID_KEY or INVALID_FIELD) where the key is none or the service is to check `sha256`, or
   * FAILED_PRECONDITION: NO_ZSTD, SOURCE_NOT_SEEKABLE, SEALING_UNSUPPORTED (by the service), and
   * WRONG_KEY where the newest backup has another passphrase.
   */
  async upload(source: string | UploadSource, options: UploadOptions): Promise<Uploaded> {
    const bytes = typeof source === 'string' ? await fileSource(source) : source;
    const { key: secret } = options;
    if (secret !== undefined) requireSealable(bytes, options.sha256);
    const uploadId = options.uploadId ?? uuidv7();
    const attempts = new Attempts(options.signal);
    const key =
      secret === undefined ? undefined : await this.#keyOf(secret, options, uploadId, attempts);
    const start = create(UploadStartSchema, {
      uploadId,
      user: options.user,
      database: options.database ?? '',
      sizeBytes: BigInt(bytes.sizeBytes),
      sha256: options.sha256 ?? new Uint8Array(),
      databaseCreatedAtMs: BigInt(options.databaseCreatedAtMs ?? 0),
      label: options.label ?? '',
      opaque: options.opaque ?? false,
      waitForVerification: options.waitForVerification ?? false,
      ...(key && { key: key.description }),
    });
    const sealer = key?.sealer(sealedDatabase(options));
    const uploader = uploaderOf(start, bytes, sealer, options.onProgress);
    const open: OpenUpload = (produce) =>
      callBidi(this.channel, methods.uploadBackup, produce, options);
    return attempts.run(() => uploader.attempt(open, attempts), mayRepeatUpload);
  }

  /** The key of an upload; that of a passphrase depends on the newest backup. */
  async #keyOf(
    key: BackupKey,
    options: Database & CallOptions,
    uploadId: string,
    attempts: Attempts,
  ): Promise<MasterKey> {
    const named = sealedDatabase(options);
    if (key instanceof Uint8Array) return uploadKey(key, named, uploadId, undefined);
    const { user, database, signal, timeoutMs } = options;
    const newest = await attempts
      .run(() => this.get({ user, database, signal, timeoutMs }), willPass)
      .catch(noneIfNotFound);
    return uploadKey(key, named, uploadId, newest);
  }

  /**
   * Begins to read a backup; resolves when it is known which one it is. Read it to its end, leave its
   * iteration, or dispose of it: until then the call is open.
   *
   * Where the backup's and the given `key` do not fit, nothing is read: FAILED_PRECONDITION, reason
   * KEY_REQUIRED (it is sealed), WRONG_KEY, NOT_SEALED (it is plain, and a key was given) or NO_ZSTD
   * (this Node is older than 22.15); INVALID_ARGUMENT, reason INVALID_KEY, where the key is none.
   */
  async download(options: DownloadOptions): Promise<Download> {
    if (options.key !== undefined) requireZstd();
    let sealer: Promise<Sealer | undefined> | undefined;
    const sealerOf: SealerOf = (backup) => {
      sealer ??= openSealed(backup, options.key, sealedDatabase(options));
      return sealer;
    };
    const open: OpenDownload = (number, offsetBytes) => {
      const request = create(DownloadBackupRequestSchema, {
        ...databaseFields(options),
        number,
        offsetBytes: BigInt(offsetBytes),
        // Plain frames can be checked only together: a part of a file comes as the service checked it.
        frames: canUnpackFrames && (!options.offsetBytes || options.key !== undefined),
      });
      const answers = callServerStream(this.channel, methods.downloadBackup, request, options);
      return unpackFrames(answers, offsetBytes, sealerOf);
    };
    return Download.open(
      open,
      sealerOf,
      BigInt(options.number ?? 0),
      options.offsetBytes ?? 0,
      options.signal,
    );
  }

  /**
   * Writes a backup to a file, which appears under its name only once it is complete, checked and on
   * disk. A file that exists is refused (ALREADY_EXISTS, reason FILE_EXISTS) unless `overwrite` is
   * set, and so is one with a WAL or a journal beside it (reason DATABASE_IN_USE). What is no regular
   * file, such as a device or a link, is always refused (reason NOT_A_FILE).
   */
  async downloadToFile(path: string, options: DownloadToFileOptions): Promise<Backup> {
    const mayAppear = async () => {
      await refuseMixing(path);
      await refuseTaken(path, options.overwrite);
    };
    let backup: Backup | undefined;
    await writeNewFile(path, mayAppear, async (file) => {
      const download = await this.download(options);
      backup = download.backup;
      let receivedBytes = 0;
      for await (const chunk of download) {
        await file.writeFile(chunk);
        receivedBytes += chunk.length;
        release(chunk);
        options.onProgress?.({ receivedBytes, sizeBytes: Number(backup.sizeBytes) });
      }
    });
    return backup!;
  }

  /** All backups of a database, newest first, asked for page by page as they are read. */
  async *list(options: Database & CallOptions): AsyncGenerator<Backup, void, undefined> {
    const pages = pagesOf((pageToken) => {
      const request = create(ListBackupsRequestSchema, { ...databaseFields(options), pageToken });
      return callUnary(this.channel, methods.listBackups, request, options);
    });
    for await (const { backups } of pages) yield* backups;
  }

  /** How old the newest backup of a database is; `ageSeconds` is -1 where none counts. */
  async age(options: Database & CallOptions): Promise<BackupAge> {
    const request = create(BackupAgeRequestSchema, databaseFields(options));
    const answer = await callUnary(this.channel, methods.backupAge, request, options);
    const { ageSeconds = -1, databaseAgeSeconds = -1 } = answer;
    return Object.assign(answer, { ageSeconds, databaseAgeSeconds });
  }

  /** One backup of a database: the newest that has not failed its verification unless a number is given. */
  async get(options: Omit<DownloadOptions, 'offsetBytes' | 'key'>): Promise<Backup> {
    const request = create(GetBackupRequestSchema, numberedFields(options));
    return (await callUnary(this.channel, methods.getBackup, request, options)).backup!;
  }

  /**
   * Has a backup rebuilt from the store and checked, now: the newest unless a number is given. Gives it
   * with the result in `verification`: a backup that fails is no error. Has no time limit of its own.
   */
  async verify(options: Omit<DownloadOptions, 'offsetBytes' | 'key'>): Promise<Backup> {
    const request = create(VerifyBackupRequestSchema, numberedFields(options));
    const verifying = callUnary(this.channel, methods.verifyBackup, request, unhurried(options));
    return (await verifying).backup!;
  }

  /** Pins a backup, so that it is kept however old it is. Gives it as it is now, and so does `unpin`. */
  async pin(options: NumberedBackup & CallOptions): Promise<Backup> {
    return await this.#pin(options, false);
  }

  /** Takes the pin of a backup away, whoever set it. */
  async unpin(options: NumberedBackup & CallOptions): Promise<Backup> {
    return await this.#pin(options, true);
  }

  /** Deletes one backup. Where there is none, perhaps no more, that is NOT_FOUND. */
  async delete(options: NumberedBackup & CallOptions): Promise<void> {
    const request = create(DeleteBackupRequestSchema, numberedFields(options));
    await callUnary(this.channel, methods.deleteBackup, request, options);
  }

  /**
   * Deletes all backups of one database of a user, or of all where none is named, and gives how many they
   * were. An upload under way ends in ABORTED, reason ERASED. To be repeated until it succeeds. Has no
   * time limit of its own.
   */
  async deleteAll(options: Database & CallOptions): Promise<bigint> {
    const request = create(DeleteAllBackupsRequestSchema, databaseFields(options));
    const deleting = callUnary(this.channel, methods.deleteAllBackups, request, unhurried(options));
    return (await deleting).deleted;
  }

  /** What a user's backups take up, and how much they may. */
  usage(options: { readonly user: string } & CallOptions): Promise<GetUsageResponse> {
    const request = create(GetUsageRequestSchema, { user: options.user });
    return callUnary(this.channel, methods.getUsage, request, options);
  }

  async #pin(options: NumberedBackup & CallOptions, unpin: boolean): Promise<Backup> {
    const request = create(PinBackupRequestSchema, { ...numberedFields(options), unpin });
    return (await callUnary(this.channel, methods.pinBackup, request, options)).backup!;
  }
}

const methods = typedMethods(BackupService);

/** What a database's keys are derived from: its name as the service takes it. */
function sealedDatabase({ user, database }: Database): SealedDatabase {
  return { user, database: database || DEFAULT_DATABASE };
}

/** Where a call failed because what it asks for is not there: nothing. @throws any other error */
export function noneIfNotFound(error: unknown): undefined {
  if (error instanceof BackscrollError && error.code === status.NOT_FOUND) return undefined;
  throw error;
}

function numberedFields({ number, ...database }: Omit<DownloadOptions, 'offsetBytes'>) {
  return { ...databaseFields(database), number: BigInt(number ?? 0) };
}

function databaseFields({ user, database }: Database) {
  return { user, database: database ?? '' };
}

/** The way to upload a source that moves the fewest bytes. */
function uploaderOf(
  start: UploadStart,
  source: UploadSource,
  sealer: Sealer | undefined,
  onProgress: UploadOptions['onProgress'],
): Uploader {
  const { sizeBytes, open } = source;
  if (!open || !canUnpackFrames || start.sha256.length > 0) {
    return new PlainUploader(start, source, onProgress);
  }
  const seekable = { sizeBytes, open: () => open.call(source) };
  return new IncrementalUploader(start, seekable, sealer, onProgress);
}

function mayRepeatUpload(error: BackscrollError): boolean {
  // What was erased on purpose is not to come back by itself.
  return willPass(error) || (error.code === status.ABORTED && error.reason !== 'ERASED');
}
