import type { Stats } from 'node:fs';
import { chmod, chown, link, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { status } from '@grpc/grpc-js';
import type { BackupClient, DownloadToFileOptions } from './backup-client.ts';
import { refuseMixing } from './database-file.ts';
import { BackscrollError } from './errors.ts';
import { SQLITE_HEADER_BYTES, sqlitePageSize } from './format/sqlite-header.ts';
import type { Backup } from './gen/backscroll/backup/v1/backup_pb.ts';
import { lstatOf, refuseTaken, syncFolder } from './new-file.ts';
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
  await using sqlite = await SqliteProcess.start(temporary(path), options.signal);
  const fresh = join(sqlite.folder, basename(path));
  const backup = await client.downloadToFile(fresh, download);
  const checked = !backup.opaque && (await check(sqlite, fresh, backup));
  const replaced = await replaceable(path);
  const keptPath = replaced && (await nameToKeep(path, replaced));
  if (dryRun) return { backup, checked, keptPath };
  if (replaced) await takeAfter(fresh, replaced);
  await using lock = replaced && (await lockOut(path, true));
  // Windows replaces no file that is open.
  if (process.platform === 'win32') await lock?.[Symbol.asyncDispose]();
  await swap(path, fresh, keptPath);
  return { backup, checked, keptPath };
}

function temporary(path: string): string {
  return `${path}.restore-`;
}

/** Told before anything is downloaded. */
async function refuseUsed(path: string): Promise<void> {
  await using _ = (await replaceable(path)) && (await lockOut(path, false));
}

async function replaceable(path: string): Promise<Stats | undefined> {
  await refuseTaken(path, true);
  return lstatOf(path);
}

/** Refuses a damaged database; whether SQLite could tell. */
async function check(sqlite: SqliteProcess, path: string, backup: Backup): Promise<boolean> {
  if (!(await hasHeader(path)))
    throw damaged(backup, 'it does not begin as a SQLite database does');
  const faults = hasSqlite ? await sqlite.check(path) : undefined;
  if (faults && faults.length > 0) throw damaged(backup, faults.join('; '));
  return faults !== undefined;
}

async function hasHeader(path: string): Promise<boolean> {
  const file = await open(path, 'r');
  try {
    const { buffer } = await file.read(Buffer.alloc(SQLITE_HEADER_BYTES));
    return sqlitePageSize(buffer) !== undefined;
  } finally {
    await file.close();
  }
}

/**
 * Keeps other programs from a database until what it gives is disposed of, which no signal must do
 * before; with `settle`, all of the database then stands in its file. One of which SQLite can do
 * neither must have no part elsewhere.
 */
async function lockOut(path: string, settle: boolean): Promise<AsyncDisposable> {
  const sqlite = await SqliteProcess.start(temporary(path));
  try {
    if (!(hasSqlite && (await holds(sqlite, path, settle)))) await refuseMixing(path);
    return sqlite;
  } catch (error) {
    await sqlite[Symbol.asyncDispose]();
    throw error;
  }
}

async function holds(sqlite: SqliteProcess, path: string, settle: boolean): Promise<boolean> {
  try {
    await sqlite.hold(path, settle);
    return true;
  } catch (error) {
    const reason = error instanceof BackscrollError ? error.reason : '';
    if (reason === 'DATABASE_BUSY') throw inUse(path, error);
    if (reason === 'NOT_A_DATABASE' || reason === 'DATABASE_DAMAGED') return false;
    throw error;
  }
}

/** The restored database may be read by whoever could read the one that it replaces. */
async function takeAfter(path: string, { mode, uid, gid }: Stats): Promise<void> {
  await chmod(path, mode & 0o777);
  // Only root may give files away.
  if (process.getuid?.() === 0) await chown(path, uid, gid);
}

/**
 * Each step leaves a whole database under the name: what the old one had in its WAL is in its file
 * by now, and the WAL goes before the new one comes, or SQLite would mix it in.
 */
async function swap(path: string, fresh: string, keptPath: string | undefined): Promise<void> {
  if (keptPath && !(await lstatOf(keptPath))) await link(path, keptPath);
  try {
    for (const part of ['-wal', '-shm', '-journal']) await rm(`${path}${part}`, { force: true });
    await syncFolder(dirname(path));
    await rename(fresh, path);
  } catch (error) {
    if (keptPath) await rm(keptPath, { force: true });
    throw error;
  }
  await syncFolder(dirname(path));
}

/**
 * The first name that is free, so that what was kept before stays; or that the database has already,
 * because a restore was killed.
 */
async function nameToKeep(path: string, { dev, ino }: Stats): Promise<string> {
  for (let n = 1; ; n++) {
    const name = `${path}.before-restore${n === 1 ? '' : `-${n}`}`;
    const there = await lstatOf(name);
    if (!there || (there.dev === dev && there.ino === ino)) return name;
  }
}

function damaged({ number }: Backup, fault: string): BackscrollError {
  return new BackscrollError(`Backup ${number} is damaged: ${fault}`, {
    code: status.DATA_LOSS,
    reason: 'DATABASE_DAMAGED',
  });
}

function inUse(path: string, cause: unknown): BackscrollError {
  return new BackscrollError(`${path} is open in another program: close it there first`, {
    code: status.FAILED_PRECONDITION,
    reason: 'DATABASE_IN_USE',
    cause,
  });
}
