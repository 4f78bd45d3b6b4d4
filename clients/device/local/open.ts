import { statSync } from 'node:fs';
import { dirname } from 'node:path';
import { status } from '@grpc/grpc-js';
import { BackscrollError } from '../../errors.ts';
import { SQLITE_HEADER_BYTES } from '../../format/sqlite-header.ts';
import { uuidv7 } from '../../uuid.ts';
import { inboxStateOf } from './inbox-state.ts';
import type { Fact } from './local-store.ts';
import { APPLICATION_ID, SCHEMA } from './schema.ts';
import { type Row, Sqlite } from './sqlite.ts';

/**
 * A write that empties the WAL waits for the disk, for long where a backup is being written to it: the
 * WAL grows to 16 MiB, four times the usual, before that is done.
 */
export const PRAGMAS = `
  PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 4000;
  PRAGMA secure_delete = ON`;

/**
 * Opens the local database of a user, and makes it where there is none. One of an older version is
 * brought up to this one in one transaction. Fails, and leaves the file as it is, with
 * FAILED_PRECONDITION: WRONG_OWNER (it is another user's), NEWER_SCHEMA (a newer version of this library
 * made it); INVALID_ARGUMENT: NOT_A_DATABASE, NOT_A_DEVICE_DATABASE (some other program's, or altered);
 * or DATABASE_DAMAGED, DATABASE_BUSY, DISK_FULL, or the system's error for the path.
 */
export function openDatabase(path: string, owner: string, schema = SCHEMA): Sqlite {
  // SQLite would call it "unable to open database file".
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats) statSync(dirname(path));
  if (stats && !stats.isFile()) throw refused('NOT_A_DATABASE', `${path} is no regular file`);
  // It would take what is so short for an empty database, and write over it.
  if (stats && stats.size > 0 && stats.size < SQLITE_HEADER_BYTES) {
    throw refused('NOT_A_DATABASE', `${path} is no SQLite database`);
  }
  const sqlite = new Sqlite(path);
  try {
    checkDatabase(sqlite, owner, schema);
    // Only now is it known to be a device's: this changes the file.
    sqlite.exec(PRAGMAS);
    if (versionOf(sqlite) < schema.length) {
      sqlite.transaction(() => migrate(sqlite, owner, schema));
    }
    return sqlite;
  } catch (error) {
    sqlite.close();
    throw error;
  }
}

/**
 * Refuses a database that is not this user's, or is none of this library's; an empty one is fine. Gives
 * its version, 0 for an empty one.
 */
export function checkDatabase(sqlite: Sqlite, owner: string, schema = SCHEMA): number {
  const { path } = sqlite;
  const version = versionOf(sqlite);
  const found = objectsOf(sqlite);
  const application = numberOf(sqlite, 'application_id');
  if (application === 0 && version === 0 && found.length === 0) return 0;
  if (application !== APPLICATION_ID || version < 1) {
    throw refused('NOT_A_DEVICE_DATABASE', `${path} is the database of another program`);
  }
  if (version > schema.length) {
    throw failed('NEWER_SCHEMA', `${path} was made by a newer version: update this program`);
  }
  // Triggers, views, or columns that are none of ours: nothing that follows could be relied on, not even
  // that it ends.
  if (JSON.stringify(found) !== JSON.stringify(objectsAt(schema.slice(0, version)))) {
    throw refused('NOT_A_DEVICE_DATABASE', `${path} is no device's database, or was altered`);
  }
  const wrong = wrongFact(sqlite);
  if (wrong !== undefined) {
    throw refused(
      'NOT_A_DEVICE_DATABASE',
      `${path} does not tell what every device's does: ${wrong}`,
    );
  }
  if (factOf(sqlite, 'owner') !== owner) {
    throw failed('WRONG_OWNER', `${path} is another user's database`);
  }
  return version;
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Whether the fact of each name can be what a device wrote; undefined: it is not there. */
const FACTS: Readonly<Record<Fact, (value: unknown) => boolean>> = {
  owner: (value) => typeof value === 'string' && value !== '',
  lineage: (value) => typeof value === 'string' && UUID.test(value),
  created_at_ms: isNumber,
  user_revision: isNumber,
  writes: isNumber,
  inbox: (value) => value === undefined || inboxStateOf(value) !== undefined,
};

/** The first fact that no device wrote. */
function wrongFact(sqlite: Sqlite): string | undefined {
  return Object.entries(FACTS).find(([name, isRight]) => !isRight(factOf(sqlite, name)))?.[0];
}

function factOf(sqlite: Sqlite, name: string): unknown {
  return sqlite.get('SELECT value FROM device WHERE name = ?', name)?.value;
}

function isNumber(value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

/** Two processes may begin this at once: the second finds nothing left to do. */
function migrate(sqlite: Sqlite, owner: string, schema: readonly string[]): void {
  const version = versionOf(sqlite);
  for (const step of schema.slice(version)) sqlite.exec(step);
  sqlite.exec(`PRAGMA user_version = ${schema.length}; PRAGMA application_id = ${APPLICATION_ID}`);
  if (version > 0) return;
  const facts = {
    owner,
    lineage: uuidv7(),
    created_at_ms: Date.now(),
    user_revision: 0,
    writes: 0,
  };
  for (const [name, value] of Object.entries(facts)) {
    sqlite.run('INSERT INTO device (name, value) VALUES (?, ?)', name, value);
  }
}

function versionOf(sqlite: Sqlite): number {
  return numberOf(sqlite, 'user_version');
}

function numberOf(sqlite: Sqlite, pragma: string): number {
  return Number(Object.values(sqlite.get(`PRAGMA ${pragma}`) ?? {})[0]);
}

/** What a database consists of; no more of it than is needed to tell that it is none of ours. */
function objectsOf(sqlite: Sqlite): Row[] {
  return sqlite.all(`
    SELECT type, name, tbl_name, substr(sql, 1, 10000) FROM sqlite_schema
    ORDER BY type, name LIMIT 100`);
}

function objectsAt(schema: readonly string[]): Row[] {
  using sqlite = new Sqlite(':memory:');
  for (const step of schema) sqlite.exec(step);
  return objectsOf(sqlite);
}

function refused(reason: string, message: string): BackscrollError {
  return new BackscrollError(message, { code: status.INVALID_ARGUMENT, reason });
}

function failed(reason: string, message: string): BackscrollError {
  return new BackscrollError(message, { code: status.FAILED_PRECONDITION, reason });
}
