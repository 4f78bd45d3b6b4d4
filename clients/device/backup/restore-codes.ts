import { BackscrollError } from '../../errors.ts';

/** What `restoreDatabase` and `restoreLatest` come to. All but `done` leave the database as it was. */
export const RESTORE = {
  /** The backup is the database now. */
  done: 0,
  /** There is no such file. */
  noSuchFile: -1,
  /** It is no SQLite database, or one that is encrypted by itself; or no file, such as a folder. */
  notADatabase: -2,
  /**
   * SQLite found it damaged, or could not check it in a time that is long for its size; or what stands in
   * it is not what a device writes.
   */
  damaged: -3,
  /** It is the database of another program, or was altered. */
  notADeviceDatabase: -4,
  /** It is another user's. */
  wrongOwner: -5,
  /** A newer version of this library made it. */
  newerSchema: -6,
  /** The device works by itself: `stop` it first. */
  alreadyStarted: -7,
  /**
   * Another connection or process has the database open, or the device is doing something with it; or
   * the backup is that database, or a part of it stands in a WAL or a journal beside it.
   */
  inUse: -8,
  /** There is no room for it. */
  diskFull: -9,
  /** Something else failed, as for want of rights. */
  failed: -10,
} as const;

/** One of `RESTORE`. */
export type RestoreCode = (typeof RESTORE)[keyof typeof RESTORE];

/** By the reason of a `BackscrollError`, or the system's code. */
const CODES: Readonly<Record<string, RestoreCode>> = {
  NO_SUCH_FILE: RESTORE.noSuchFile,
  NOT_A_FILE: RESTORE.notADatabase,
  NOT_A_DATABASE: RESTORE.notADatabase,
  DATABASE_DAMAGED: RESTORE.damaged,
  NOT_A_DEVICE_DATABASE: RESTORE.notADeviceDatabase,
  WRONG_OWNER: RESTORE.wrongOwner,
  NEWER_SCHEMA: RESTORE.newerSchema,
  ALREADY_STARTED: RESTORE.alreadyStarted,
  DATABASE_IN_USE: RESTORE.inUse,
  DATABASE_BUSY: RESTORE.inUse,
  DISK_FULL: RESTORE.diskFull,
  ENOSPC: RESTORE.diskFull,
  EDQUOT: RESTORE.diskFull,
};

/** The code for what a restore failed with. */
export function restoreCodeOf(error: unknown): RestoreCode {
  const key =
    error instanceof BackscrollError ? error.reason : (error as NodeJS.ErrnoException | null)?.code;
  return CODES[key ?? ''] ?? RESTORE.failed;
}
