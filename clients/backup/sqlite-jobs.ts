/**
 * The process in which the clients use SQLite (see `SqliteProcess`, which starts it). It makes the
 * folder that its argument names, does the jobs it is sent one by one, and removes the folder when
 * whoever started it lets go of it or dies, by whatever signal. Where both died at once, the next one
 * in the same place removes it.
 */

import { constants, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { chmod, copyFile } from 'node:fs/promises';
import { isBuiltin } from 'node:module';
import { basename, dirname, join, resolve } from 'node:path';
import type { DatabaseSync, SQLOutputValue } from 'node:sqlite';
import { pathToFileURL } from 'node:url';

/** What can be asked for. A process that holds a database does so until it ends. */
export type Job =
  | { readonly kind: 'copy'; readonly from: string; readonly to: string }
  | { readonly kind: 'copy-file'; readonly from: string; readonly to: string }
  | { readonly kind: 'check'; readonly path: string; readonly how: CheckKind }
  | { readonly kind: 'hold'; readonly path: string; readonly settle: boolean };

/**
 * SQLite's checks: `integrity_check` also sees rows that stand out of order or twice, or in no index, and takes
 * longer.
 */
export type CheckKind = 'quick_check' | 'integrity_check';

/** What a job finds wrong; undefined where SQLite can't tell, or nothing was asked. */
export type Faults = readonly string[] | undefined;

/** What is told of a job: how far it has come, and at its end what it found or failed with. */
export type Told =
  | { readonly is: 'progress'; readonly copiedBytes: number; readonly sizeBytes: number }
  | { readonly is: 'done'; readonly faults?: Faults }
  | { readonly is: 'failed'; readonly failure: Failure };

/** An error as it passes between processes. */
export interface Failure {
  readonly message: string;
  /** Node's code, such as ENOENT or ERR_SQLITE_ERROR. */
  readonly code?: string | undefined;
  /** SQLite's primary result code. */
  readonly sqliteCode?: number | undefined;
}

/** Longest to wait for another connection's lock, in milliseconds: commits hold theirs for less. */
const PATIENCE_MS = 5_000;

/** How long a folder counts as one that was just made, in milliseconds. */
const NEW_MS = 60_000;

/** The id at the end of a folder's name. */
const ID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Copied between two reports of progress. */
const STEP_BYTES = 4 * 1024 * 1024;

/** Primary result codes of SQLite. */
const SQLITE_ERROR = 1;
const SQLITE_CORRUPT = 11;

/** Faults told of a damaged database: one may bring forth thousands. */
const MOST_FAULTS = 3;

const folder = resolve(process.argv[2] as string);

/** Databases that stay open until the end, for their locks. */
const locked: DatabaseSync[] = [];

// Whoever started this process decides when it ends, also where a terminal interrupts both.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
process.once('disconnect', () => {
  // A copy under way may still make files in it.
  rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 10 });
  // A database that is held is not closed: by now another one may have its name, and to close it
  // would be to clear up beside that.
  process.kill(process.pid, 'SIGKILL');
});
process.on('message', (job: Job) => void report(() => run(job)));
void report(async (): Promise<undefined> => {
  mkdirSync(folder, { mode: 0o700 });
  if (isBuiltin('node:sqlite')) {
    locked.push(await own(folder));
    await removeLeftovers();
  }
});

function tell(told: Told): void {
  // Nobody may be there to hear it any more: what is to be done then waits for 'disconnect'.
  process.send?.(told, undefined, undefined, () => {});
}

async function report(work: () => Promise<Faults>): Promise<void> {
  try {
    tell({ is: 'done', faults: await work() });
  } catch (error) {
    const { message, code } = error as NodeJS.ErrnoException;
    tell({ is: 'failed', failure: { message, code, sqliteCode: sqliteCodeOf(error) } });
  }
}

function run(job: Job): Promise<Faults> {
  switch (job.kind) {
    case 'copy':
      return copy(job.from, job.to);
    case 'copy-file':
      return copyAsItIs(job.from, job.to);
    case 'check':
      return check(job.path, job.how);
    case 'hold':
      return hold(job.path, job.settle);
  }
}

/** Locks a file in a folder, which shows that its owner lives. */
async function own(path: string): Promise<DatabaseSync> {
  const { DatabaseSync } = await import('node:sqlite');
  const owner = new DatabaseSync(join(path, '.owner'), { timeout: 0 });
  owner.exec('BEGIN EXCLUSIVE');
  return owner;
}

/** Removes the folders of the same kind for the same database that nobody owns any more. */
async function removeLeftovers(): Promise<void> {
  const [place, name] = [dirname(folder), basename(folder)];
  const alike = (other: string) => ID.test(other) && other.replace(ID, '') === name.replace(ID, '');
  for (const other of readdirSync(place).filter(alike)) {
    const path = join(place, other);
    try {
      // One that was just made may not be locked yet.
      if (Date.now() - statSync(path).mtimeMs < NEW_MS) continue;
      (await own(path)).close();
      rmSync(path, { recursive: true, force: true });
    } catch {
      // It has an owner, or another removes it.
    }
  }
}

/**
 * The read transaction keeps writers from changing what is copied, without which the backup would
 * begin anew with each of their commits. In WAL mode they go on meanwhile; in the other modes they
 * wait.
 */
async function copy(from: string, to: string): Promise<undefined> {
  const { backup } = await import('node:sqlite');
  const source = await open(from, 'mode=rw');
  try {
    source.exec('BEGIN; PRAGMA schema_version');
    refuseCutOff(source, from);
    const pageBytes = numberOf(source, 'PRAGMA page_size');
    await backup(source, to, {
      rate: Math.ceil(STEP_BYTES / pageBytes),
      progress: ({ totalPages, remainingPages }) => {
        const copiedBytes = (totalPages - remainingPages) * pageBytes;
        tell({ is: 'progress', copiedBytes, sizeBytes: totalPages * pageBytes });
      },
    });
  } finally {
    source.close();
  }
}

/** Copies a file that is to be looked at, and that SQLite must not open as long as nobody trusts it. */
async function copyAsItIs(from: string, to: string): Promise<undefined> {
  await copyFile(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  // It takes the mode of the file, which may be one to read alone.
  await chmod(to, 0o600);
}

/** SQLite takes a last page that is not whole for one that ends with zeros. */
function refuseCutOff(database: DatabaseSync, path: string): void {
  // With a WAL the last pages may not be in the file yet.
  if (read(database, 'PRAGMA journal_mode') === 'wal') return;
  const pagesBytes =
    numberOf(database, 'PRAGMA page_count') * numberOf(database, 'PRAGMA page_size');
  const { size } = statSync(path);
  if (size >= pagesBytes) return;
  const message = `it has ${size} bytes of ${pagesBytes}`;
  throw Object.assign(new Error(message), { errcode: SQLITE_CORRUPT });
}

/** What a check finds wrong with a file that nobody uses, beside which nothing is written. */
async function check(path: string, how: CheckKind): Promise<Faults> {
  const database = await open(path, 'mode=ro&immutable=1');
  try {
    database.exec('PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON');
    const rows = database.prepare(`PRAGMA ${how}(${MOST_FAULTS})`).all();
    const lines = rows.flatMap((row) => String(Object.values(row)[0]).split('\n'));
    return lines.filter((line) => !/^(?:ok$|\*\*\*)/.test(line)).slice(0, MOST_FAULTS);
  } catch (error) {
    // It uses a function or a collation that only its own program has.
    if (sqliteCodeOf(error) === SQLITE_ERROR) return undefined;
    throw error;
  } finally {
    database.close();
  }
}

/**
 * Locks everybody else out of a database until this process ends; fails where somebody uses it. In
 * WAL mode that shows even while they do nothing. `settle` moves what the WAL holds into the file.
 */
async function hold(path: string, settle: boolean): Promise<undefined> {
  const held = await open(path, 'mode=rw');
  locked.push(held);
  held.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT');
  if (settle) held.exec('PRAGMA wal_checkpoint(TRUNCATE)');
}

async function open(path: string, how: string): Promise<DatabaseSync> {
  const { DatabaseSync } = await import('node:sqlite');
  const url = pathToFileURL(path);
  url.search = how;
  return new DatabaseSync(url, { timeout: PATIENCE_MS });
}

/** Without what SQLite adds to the primary code. */
function sqliteCodeOf(error: unknown): number | undefined {
  const { errcode } = error as { errcode?: number };
  return errcode === undefined ? undefined : errcode & 0xff;
}

function numberOf(database: DatabaseSync, pragma: string): number {
  return Number(read(database, pragma));
}

function read(database: DatabaseSync, pragma: string): SQLOutputValue | undefined {
  return Object.values(database.prepare(pragma).get() ?? {})[0];
}
