import { basename, join } from 'node:path';
import type { Backup } from '../gen/backscroll/backup/v1/backup_pb.ts';
import type { BackupClient, DownloadToFileOptions } from './backup-client.ts';
import { damaged } from './damaged.ts';
import { beginsAsDatabase } from './database-file.ts';
import {
  nameToKeep,
  refuseUsed,
  replaceable,
  replaceDatabase,
  restoreFolder,
} from './replace-database.ts';
import { hasSqlite, SqliteProcess } from './sqlite-process.ts';

/** Which backup is restored, and how. */
export interface RestoreOptions extends Omit<DownloadToFileOptions, 'overwrite'> {
  /** Do all but put the backup in its place. */
  readonly dryRun?: boolean | undefined;
}

/** What a restore did, or in a dry run would do. */
export interface Restored {
  /** The backup. */
  readonly backup: Backup;
  /**
   * SQLite found the database whole. Else its digests alone were checked: it is opaque, it uses
   * functions or collations of a program's own, or Node is older than 24.
   */
  readonly checked: boolean;
  /** Where the database that was replaced is kept; undefined where there was none. */
  readonly keptPath: string | undefined;
}

/**
 * Puts a backup in the place of a database, or where none is. It is downloaded beside it, compared
 * with its digests and checked by SQLite (DATABASE_DAMAGED where that finds faults); the database that
 * was there, with what stood in its WAL, is kept under a name of its own, which ends with
 * `.before-restore` and perhaps a number; and the new one takes its name, mode and owner in one step.
 * Killed at any moment, it leaves the one or the other whole under that name.
 *
 * A database that another program has open is refused (DATABASE_IN_USE) where that shows: always in
 * WAL mode, else while it reads or writes. One that SQLite can't read is replaced as well, unless a
 * part of it stands in a WAL or a journal (DATABASE_IN_USE). What is no regular file is refused
 * (NOT_A_FILE). With Node older than 24, the caller must see to it that nobody uses the database.
 */
export async function restore(
  client: BackupClient,
  path: string,
  options: RestoreOptions,
): Promise<Restored> {
  const { dryRun, ...download } = options;
  await refuseUsed(path);
  await using sqlite = await SqliteProcess.start(restoreFolder(path), options.signal);
  const fresh = join(sqlite.folder, basename(path));
  const backup = await client.downloadToFile(fresh, download);
  const checked = !backup.opaque && (await check(sqlite, fresh, backup));
  const replaced = await replaceable(path);
  const keptPath = replaced && (await nameToKeep(path, replaced));
  if (dryRun) return { backup, checked, keptPath };
  await replaceDatabase(path, fresh, replaced, keptPath);
  return { backup, checked, keptPath };
}

/** Refuses a damaged database; whether SQLite could tell. */
async function check(sqlite: SqliteProcess, path: string, { number }: Backup): Promise<boolean> {
  if (!(await beginsAsDatabase(path)))
    throw damaged(`Backup ${number}`, 'it does not begin as a SQLite database does');
  const faults = hasSqlite ? await sqlite.check(path) : undefined;
  if (faults && faults.length > 0) throw damaged(`Backup ${number}`, faults.join('; '));
  return faults !== undefined;
}
