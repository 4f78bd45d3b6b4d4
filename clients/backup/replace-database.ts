import type { Stats } from 'node:fs';
import { chmod, chown, link, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { status } from '@grpc/grpc-js';
import { BackscrollError } from '../errors.ts';
import { refuseMixing } from './database-file.ts';
import { lstatOf, refuseTaken, syncFolder } from './new-file.ts';
import { hasSqlite, SqliteProcess } from './sqlite-process.ts';

/** What the folder begins with in which a database is made ready to take another's place. */
export function restoreFolder(path: string): string {
  return `${path}.restore-`;
}

/** What stands where a database is to be put, if anything: NOT_A_FILE where that is no regular file. */
export async function replaceable(path: string): Promise<Stats | undefined> {
  await refuseTaken(path, true);
  return lstatOf(path);
}

/** Refuses to replace a database that is open in another program (DATABASE_IN_USE). */
export async function refuseUsed(path: string): Promise<void> {
  await using _ = (await replaceable(path)) && (await lockOut(path, false));
}

/**
 * The first name that is free, so that what was kept before stays; or that the database has already,
 * because a restore was killed.
 */
export async function nameToKeep(path: string, { dev, ino }: Stats): Promise<string> {
  for (let n = 1; ; n++) {
    const name = `${path}.before-restore${n === 1 ? '' : `-${n}`}`;
    const there = await lstatOf(name);
    if (!there || (there.dev === dev && there.ino === ino)) return name;
  }
}

/**
 * Puts the database in the file `fresh`, which is on disk and nobody uses, in the place of `path`, with
 * the mode and owner of what it replaces. That is locked, takes in its WAL, and is kept as `keptPath`.
 * Killed at any moment, it leaves the one or the other whole under the name. Refuses with
 * DATABASE_IN_USE what another program has open, or what SQLite can't read if a part of it stands in a
 * WAL or a journal.
 */
export async function replaceDatabase(
  path: string,
  fresh: string,
  replaced: Stats | undefined,
  keptPath: string | undefined,
): Promise<void> {
  if (replaced) await takeAfter(fresh, replaced);
  await using lock = replaced && (await lockOut(path, true));
  if (replaced) await refuseReplaced(path, replaced);
  // Windows replaces no file that is open.
  if (process.platform === 'win32') await lock?.[Symbol.asyncDispose]();
  await swap(path, fresh, keptPath);
}

/** What was locked may have lost its name to another restore while that was waited for. */
async function refuseReplaced(path: string, { dev, ino }: Stats): Promise<void> {
  const there = await lstatOf(path);
  if (there?.dev !== dev || there.ino !== ino) throw inUse(path, undefined);
}

/** Lets those read and write a file who may do so with another one. */
export async function takeAfter(path: string, { mode, uid, gid }: Stats): Promise<void> {
  await chmod(path, mode & 0o777);
  // Only root may give files away.
  if (process.getuid?.() === 0) await chown(path, uid, gid);
}

/**
 * Keeps other programs from a database until what it gives is disposed of, which no signal must do
 * before; with `settle`, all of the database then stands in its file. One of which SQLite can do
 * neither must have no part elsewhere.
 */
async function lockOut(path: string, settle: boolean): Promise<AsyncDisposable> {
  const sqlite = await SqliteProcess.start(restoreFolder(path));
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

function inUse(path: string, cause: unknown): BackscrollError {
  return new BackscrollError(
    `${path} is open in another connection or process: close it there first`,
    {
      code: status.FAILED_PRECONDITION,
      reason: 'DATABASE_IN_USE',
      cause,
    },
  );
}
