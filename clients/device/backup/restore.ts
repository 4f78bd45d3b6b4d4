import { statSync } from 'node:fs';
import { stat, statfs } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { damaged } from '../../backup/damaged.ts';
import { beginsAsDatabase, refuseUnsettled } from '../../backup/database-file.ts';
import { regularStats } from '../../backup/regular-file.ts';
import {
  nameToKeep,
  refuseUsed,
  replaceable,
  replaceDatabase,
  restoreFolder,
} from '../../backup/replace-database.ts';
import { SqliteProcess } from '../../backup/sqlite-process.ts';
import { BackscrollError } from '../../errors.ts';
import { uuidv7 } from '../../uuid.ts';
import { checkContent } from '../local/content.ts';
import { LocalStore } from '../local/local-store.ts';
import { checkDatabase, openDatabase } from '../local/open.ts';
import { SCHEMA } from '../local/schema.ts';
import { Sqlite } from '../local/sqlite.ts';
import { syncFile } from './backup-file.ts';

/** Longest that SQLite may take to check a database: this, and one second more for each MiB. */
const CHECK_MS = 30_000;
const CHECK_MS_PER_BYTE = 1_000 / 2 ** 20;

/** What a device's database is replaced for. */
export interface Restoring {
  readonly store: LocalStore;
  /** Fires when the device is closed. */
  readonly closing: AbortSignal;
  /** Fires then, or when the restore is to end. */
  readonly signal: AbortSignal;
}

/** Where a backup is restored from. */
export interface Origin {
  /** What it is called where something is wrong with it. */
  readonly name: string;
  /** Brings it to the path `to`, in the folder of `sqlite`. */
  readonly bring: (restoring: Restoring, sqlite: SqliteProcess, to: string) => Promise<void>;
}

/**
 * Puts a backup in the place of a device's database, which is replaced, and opened again, in its store.
 * Nothing happens to the old one before the new one is known to be whole, the same user's, and of the
 * current schema, with what a device writes in it; then it is kept as `….before-restore`, unless nothing
 * was ever written to it. Killed at any moment, the one or the other stands under the name. Resolves to
 * where the old one is kept.
 */
export async function restoreInto(
  restoring: Restoring,
  origin: Origin,
): Promise<string | undefined> {
  const { store, signal } = restoring;
  const { path } = store.sqlite;
  const overdue = new AbortController();
  await using sqlite = await SqliteProcess.start(
    restoreFolder(path),
    AbortSignal.any([signal, overdue.signal]),
  );
  const fresh = join(sqlite.folder, basename(path));
  try {
    await origin.bring(restoring, sqlite, fresh);
    await refuseDamaged(sqlite, fresh, overdue);
    await adopt(fresh, store.owner, signal);
  } catch (error) {
    throw calling(origin.name, fresh, error);
  }
  await syncFile(fresh);
  const replaced = await replaceable(path);
  const isUsed = store.fact('writes') !== 0;
  const keptPath = replaced && isUsed ? await nameToKeep(path, replaced) : undefined;
  await whileClosed(restoring, () => replaceDatabase(path, fresh, replaced, keptPath));
  return keptPath;
}

/** Refuses, with DATABASE_IN_USE, to replace a device's database that another process has open. */
export async function refuseShared(restoring: Restoring): Promise<void> {
  await whileClosed(restoring, () => refuseUsed(restoring.store.sqlite.path));
}

async function whileClosed(
  { store, closing }: Restoring,
  work: () => Promise<void>,
): Promise<void> {
  const { path } = store.sqlite;
  store.sqlite.close();
  let failure: unknown;
  try {
    await work();
  } catch (error) {
    failure = error;
    throw error;
  } finally {
    // A device that is closed meanwhile has closed it for good.
    if (!closing.aborted) store.sqlite = reopened(path, store.owner, failure);
  }
}

/** What it fails with has as its cause what `failure` was before, if anything. */
function reopened(path: string, owner: string, failure: unknown): Sqlite {
  try {
    return openDatabase(path, owner);
  } catch (error) {
    throw failure === undefined ? error : Object.assign(error as Error, { cause: failure });
  }
}

/** A backup in a file, which may be anything, and stays as it is: a copy is restored. */
export function fileOf(path: string): Origin {
  return {
    name: path,
    bring: async ({ store }, sqlite, to) => {
      const { size, dev, ino } = await regularStats(path);
      const own = statSync(store.sqlite.path, { throwIfNoEntry: false });
      if (own?.dev === dev && own.ino === ino) throw itself(path);
      await refuseUnsettled(path);
      const { bavail, bsize } = await statfs(dirname(to));
      if (size > bavail * bsize) throw noRoom(path);
      await sqlite.copyFile(path, to);
    },
  };
}

/**
 * Makes the file of a backup, which is whole, a database of this device's: it gets the current schema
 * and a new lineage, and all of it stands in the file. Fails as `openDatabase` and `checkContent` do.
 */
export async function adopt(
  path: string,
  owner: string,
  signal: AbortSignal,
  schema = SCHEMA,
): Promise<void> {
  {
    using sqlite = new Sqlite(path);
    if (checkDatabase(sqlite, owner, schema) === 0) throw notADevices(path);
    // SQLite takes a last page that is not whole for one that ends with zeros.
    const pages = sqlite.get<{ bytes: number }>(
      'SELECT page_count * page_size AS bytes FROM pragma_page_count, pragma_page_size',
    );
    const { size } = statSync(path);
    if (size !== pages?.bytes) throw damaged(path, `it has ${size} bytes of ${pages?.bytes}`);
  }
  using sqlite = openDatabase(path, owner, schema);
  await checkContent(sqlite, signal);
  const store = new LocalStore(sqlite, owner);
  store.write(() => store.setFact('lineage', uuidv7()));
  sqlite.exec('PRAGMA wal_checkpoint(TRUNCATE)');
}

/** In a process of its own, which is killed where it takes too long: the file may have been made for that. */
async function refuseDamaged(
  sqlite: SqliteProcess,
  path: string,
  overdue: AbortController,
): Promise<void> {
  if (!(await beginsAsDatabase(path))) {
    throw new BackscrollError(`${path} does not begin as a SQLite database does`, {
      code: status.INVALID_ARGUMENT,
      reason: 'NOT_A_DATABASE',
    });
  }
  const { size } = await stat(path);
  const longestMs = Math.ceil(CHECK_MS + size * CHECK_MS_PER_BYTE);
  const timer = setTimeout(() => overdue.abort(), longestMs);
  try {
    const faults = (await sqlite.check(path, 'integrity_check')) ?? [];
    if (faults.length > 0) throw damaged(path, faults.join('; '));
  } catch (error) {
    if (overdue.signal.aborted) throw damaged(path, `SQLite took longer than ${longestMs} ms`);
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** Whoever restores a backup knows nothing of its copy. */
function calling(name: string, copy: string, error: unknown): unknown {
  if (!(error instanceof BackscrollError && error.message.includes(copy))) return error;
  const { message, code, reason } = error;
  return new BackscrollError(message.replaceAll(copy, name), { code, reason, cause: error });
}

function itself(path: string): BackscrollError {
  return new BackscrollError(`${path} is the device's own database: name a backup of it`, {
    code: status.FAILED_PRECONDITION,
    reason: 'DATABASE_IN_USE',
  });
}

function noRoom(path: string): BackscrollError {
  return new BackscrollError(`There is no room for a copy of ${path}`, {
    code: status.RESOURCE_EXHAUSTED,
    reason: 'DISK_FULL',
  });
}

function notADevices(path: string): BackscrollError {
  return new BackscrollError(`${path} is empty`, {
    code: status.INVALID_ARGUMENT,
    reason: 'NOT_A_DEVICE_DATABASE',
  });
}
