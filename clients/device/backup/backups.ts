import { dirname, join, resolve } from 'node:path';
import { status } from '@grpc/grpc-js';
import {
  type BackupClient,
  DEFAULT_DATABASE,
  type DownloadToFileOptions,
  type UploadOptions,
} from '../../backup/backup-client.ts';
import { type SnapshotOptions, snapshot } from '../../backup/snapshot.ts';
import type { Uploaded } from '../../backup/upload.ts';
import { BackscrollError, isReason } from '../../errors.ts';
import { uuidv7 } from '../../uuid.ts';
import { checkWhole, invalid } from '../local/checks.ts';
import type { LocalStore } from '../local/local-store.ts';
import type { Tasks } from '../tasks.ts';
import { copyDatabase } from './backup-file.ts';
import { BackupState, LOCAL } from './backup-state.ts';
import { fileOf, type Origin, refuseShared, restoreInto } from './restore.ts';
import { RESTORE, type RestoreCode, restoreCodeOf } from './restore-codes.ts';
import { type DatabaseVersion, Schedule, type ScheduleOptions } from './schedule.ts';

/** How a device's database is copied to a file. */
export type DeviceBackupOptions = Pick<SnapshotOptions, 'onProgress'>;

/** How a device's database is uploaded; its user and what else the service is told come from the device. */
export type DeviceUploadOptions = Pick<
  UploadOptions,
  'database' | 'label' | 'key' | 'signal' | 'onProgress'
>;

/** Which of the backups of the device's user is restored: of a name the newest, unless a number is given. */
export type DeviceDownloadOptions = Pick<
  DownloadToFileOptions,
  'database' | 'number' | 'key' | 'signal' | 'onProgress'
>;

/** A device's backups: made, uploaded, restored, and how old they are. */
export class Backups {
  /** Why the last backup or restore of those that tell so failed; undefined where it did not. */
  lastError: Error | undefined;
  /** Where the last restore that succeeded keeps what it replaced; undefined where that was nothing. */
  keptPath: string | undefined;
  readonly #store: LocalStore;
  readonly #client: BackupClient;
  readonly #tasks: Tasks;
  readonly #database: string;
  readonly #state: BackupState;

  constructor(store: LocalStore, client: BackupClient, tasks: Tasks) {
    this.#store = store;
    this.#client = client;
    this.#tasks = tasks;
    this.#database = store.sqlite.path;
    this.#state = new BackupState(this.#database, store.owner);
  }

  /** Copies the database to a file; gives its full path, or null with the reason in `lastError`. */
  async toFile(path: string | null, options: DeviceBackupOptions): Promise<string | null> {
    try {
      const target = fullPath(path ?? join(dirname(this.#database), DEFAULT_DATABASE));
      const version = this.#version();
      const { onProgress } = options;
      await this.#tasks.run((signal) =>
        copyDatabase(this.#database, target, { signal, onProgress }),
      );
      this.#made(LOCAL, version);
      this.lastError = undefined;
      return target;
    } catch (error) {
      this.lastError = asError(error);
      return null;
    }
  }

  /** Uploads a copy of the database, and removes the copy. */
  upload(options: DeviceUploadOptions): Promise<Uploaded> {
    const name = options.database || DEFAULT_DATABASE;
    return this.#tasks.run(async (signal) => {
      try {
        // One that broke off is gone on with.
        const { upload_id } = this.#state.read(name);
        return await this.#send(name, { ...options, signal }, upload_id ?? uuidv7());
      } catch (error) {
        // It had come to its end with another copy, or another process goes on with it.
        if (!isReason(error, 'UPLOAD_ID_CONFLICT')) throw error;
        return this.#send(name, { ...options, signal }, uuidv7());
      }
    }, options.signal);
  }

  /** Restores a file. */
  async restoreFile(path: string, started: boolean): Promise<RestoreCode> {
    return this.#restore(() => fileOf(fullPath(path)), undefined, started);
  }

  /** Restores a backup of the service's; throws what the service, or the way there, fails with. */
  async restoreUploaded(options: DeviceDownloadOptions, started: boolean): Promise<RestoreCode> {
    if (typeof options.number === 'number') checkWhole('number', options.number, 0);
    let failure: unknown;
    const bring: Origin['bring'] = async (restoring, _, to) => {
      await refuseShared(restoring);
      try {
        const { owner: user } = this.#store;
        await this.#client.downloadToFile(to, { ...options, user, signal: restoring.signal });
      } catch (error) {
        // What the system fails with, as on a full disk, is a code.
        if (!isOfSystem(error)) failure = error;
        throw error;
      }
    };
    const origin = { name: 'The backup', bring };
    const code = await this.#restore(() => origin, options.signal, started);
    if (failure !== undefined) throw failure;
    return code;
  }

  /** Whole seconds since a backup was last made here; -1 for never. */
  ageSeconds(): number {
    return secondsSince(this.#state.newestMs());
  }

  /** Whole seconds since the database was first made; -1 where it does not tell. */
  databaseAgeSeconds(): number {
    return secondsSince(this.#version().createdAtMs);
  }

  /** Whole seconds since the service's newest backup, by its clock; -1 for never. */
  async serverAgeSeconds(database: string | undefined): Promise<number> {
    return this.#tasks.run(async (signal) => {
      const { owner: user } = this.#store;
      return (await this.#client.age({ user, database, signal })).ageSeconds;
    });
  }

  /** A schedule of uploads. */
  schedule(options: ScheduleOptions, nowMs?: () => number): Schedule {
    const { upload = {} } = options;
    const scheduled = {
      name: upload.database || DEFAULT_DATABASE,
      state: this.#state,
      lock: () => this.#state.lock(),
      now: () => this.#version(),
      upload: (signal: AbortSignal) => this.upload({ ...upload, signal }),
    };
    return new Schedule(scheduled, options, nowMs);
  }

  /** Closes the connection. */
  close(): void {
    this.#client.close();
  }

  async #restore(
    originOf: () => Origin,
    signal: AbortSignal | undefined,
    started: boolean,
  ): Promise<RestoreCode> {
    try {
      if (started) throw alreadyStarted();
      const origin = originOf();
      this.keptPath = await this.#tasks.alone((closing) => {
        const restoring = { store: this.#store, closing, signal: anyOf(closing, signal) };
        return restoreInto(restoring, origin);
      });
      this.lastError = undefined;
      return RESTORE.done;
    } catch (error) {
      this.lastError = asError(error);
      return restoreCodeOf(error);
    }
  }

  /** Uploads the database as it now is. */
  async #send(name: string, options: DeviceUploadOptions, uploadId: string): Promise<Uploaded> {
    const { owner: user } = this.#store;
    // What is written from here on counts as changed, whether or not the copy has it.
    const version = this.#version();
    await using copy = await snapshot(this.#database, { signal: options.signal });
    this.#state.update(name, () => ({ upload_id: uploadId }));
    const databaseCreatedAtMs = version.createdAtMs;
    const init = { ...options, user, databaseCreatedAtMs, uploadId };
    const uploaded = await this.#client.upload(copy.path, init);
    this.#made(name, version);
    return uploaded;
  }

  /** Notes that a backup was made. Where that can't be written the backup is one all the same. */
  #made(name: string, { lineage, writes }: DatabaseVersion): void {
    try {
      this.#state.update(name, (row) => ({
        ...{ at_ms: Date.now(), lineage, upload_id: null },
        // Another process may have made a later one meanwhile.
        writes: row.lineage === lineage ? Math.max(row.writes ?? 0, writes) : writes,
      }));
    } catch (error) {
      if (!(error instanceof BackscrollError)) throw error;
    }
  }

  #version(): DatabaseVersion {
    const store = this.#store;
    return {
      createdAtMs: Number(store.fact('created_at_ms')),
      lineage: String(store.fact('lineage')),
      writes: Number(store.fact('writes')),
    };
  }
}

function anyOf(closing: AbortSignal, signal: AbortSignal | undefined): AbortSignal {
  return signal ? AbortSignal.any([closing, signal]) : closing;
}

/** Clocks are set: what is yet to come is now. */
function secondsSince(timeMs: number | undefined): number {
  if (!Number.isSafeInteger(timeMs)) return -1;
  return Math.max(Math.floor((Date.now() - timeMs!) / 1_000), 0);
}

function isOfSystem(error: unknown): boolean {
  return error instanceof Error && 'errno' in error;
}

/** Fails with INVALID_ARGUMENT, reason INVALID_FIELD, where it is no path of a file. */
function fullPath(path: string): string {
  if (typeof path === 'string' && !path.includes('\0')) return resolve(path);
  throw invalid('INVALID_FIELD', 'path', 'must be the path of a file');
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error), { cause: error });
}

function alreadyStarted(): BackscrollError {
  return new BackscrollError('The device works by itself: stop it first', {
    code: status.FAILED_PRECONDITION,
    reason: 'ALREADY_STARTED',
  });
}
