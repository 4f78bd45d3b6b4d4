/**
 * The process in which SQLite checks a database that nobody trusts (see `quick-check.ts`, which starts
 * it, with limits). Its last two arguments are a path where no file is, and how many bytes come on
 * standard input: they become a file there, which goes again before SQLite reads a byte of it. What was
 * found is written to standard output, as JSON. Where the bytes end early, nothing is.
 *
 * Plain JavaScript, because Node takes half a GiB of memory, or seems to, where it may compile, and
 * without that it can't strip types.
 */

import { closeSync, openSync, readSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';

/** @typedef {import('./domain/verification/verdict.ts').Failure} Failure */

/** Faults told of a damaged database, and how long each may be: one may bring forth thousands. */
const MOST_FAULTS = 3;
const FAULT_LENGTH = 200;

/** Bytes read at once. */
const CHUNK_BYTES = 256 * 1024;

/** Primary result codes of SQLite. */
const SQLITE_ERROR = 1;
const SQLITE_NOMEM = 7;
const SQLITE_NOTADB = 26;
/** Those that tell of the machine rather than of the file: PERM, BUSY, IOERR, FULL, CANTOPEN. */
const NOT_THE_FILE = [3, 5, 10, 13, 14];

const [path = '', sizeBytes] = process.argv.slice(-2);
if (receive(path, Number(sizeBytes))) {
  writeFileSync(1, JSON.stringify({ failure: check(takeFrom(path)) }));
}

/**
 * Writes the file; false where its sender was gone before its end.
 * @param {string} to
 * @param {number} dueBytes
 */
function receive(to, dueBytes) {
  const file = openSync(to, 'wx', 0o600);
  let received = 0;
  try {
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    for (let length = readSync(0, chunk); length > 0; length = readSync(0, chunk)) {
      received += length;
      for (let at = 0; at < length; ) at += writeSync(file, chunk, at, length - at);
    }
  } finally {
    closeSync(file);
    if (received !== dueBytes) rmSync(to);
  }
  return received === dueBytes;
}

/**
 * Opens the file, and removes it: from here on it goes with this process, however that ends.
 * @param {string} from
 */
function takeFrom(from) {
  const url = pathToFileURL(from);
  url.search = 'mode=ro&immutable=1';
  try {
    return new DatabaseSync(url, { readOnly: true, defensive: true, allowExtension: false });
  } finally {
    // Windows removes no file that is open: there, whoever started this does, at the end.
    if (process.platform !== 'win32') rmSync(from);
  }
}

/**
 * What is wrong with the database; undefined where nothing is.
 * @param {DatabaseSync} database
 * @returns {Failure | undefined}
 */
function check(database) {
  try {
    database.exec(
      'PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY',
    );
    const faults = faultsIn(database);
    return faults.length === 0 ? undefined : { reason: 'CORRUPT', detail: faults.join('; ') };
  } catch (error) {
    const code = sqliteCodeOf(error);
    if (code !== undefined && NOT_THE_FILE.includes(code)) throw error;
    const detail = String(error instanceof Error ? error.message : error).slice(0, FAULT_LENGTH);
    if (code === SQLITE_NOTADB) return { reason: 'NOT_A_DATABASE', detail };
    return { reason: code === SQLITE_NOMEM ? 'LIMIT_EXCEEDED' : 'CORRUPT', detail };
  }
}

/** @param {DatabaseSync} database */
function faultsIn(database) {
  try {
    return quickCheck(database);
  } catch (error) {
    if (sqliteCodeOf(error) !== SQLITE_ERROR) throw error;
  }
  // It uses a function, a collation or a tokenizer that only its own program has: all tables but those.
  const tables = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'");
  for (const { name } of tables.iterate()) {
    try {
      const faults = quickCheck(database, String(name));
      if (faults.length > 0) return faults;
    } catch (error) {
      if (sqliteCodeOf(error) !== SQLITE_ERROR) throw error;
    }
  }
  return [];
}

/**
 * The faults that SQLite finds in the whole database, or in one table.
 * @param {DatabaseSync} database
 * @param {string} [table]
 */
function quickCheck(database, table) {
  const of = table === undefined ? MOST_FAULTS : `'${table.replaceAll("'", "''")}'`;
  /** @type {string[]} */
  const faults = [];
  for (const row of database.prepare(`PRAGMA quick_check(${of})`).iterate()) {
    for (const line of String(Object.values(row)[0]).split('\n')) {
      if (/^(?:ok$|\*\*\*)/.test(line)) continue;
      faults.push(line.slice(0, FAULT_LENGTH));
      if (faults.length === MOST_FAULTS) return faults;
    }
  }
  return faults;
}

/**
 * SQLite's primary result code; undefined where the error is not SQLite's.
 * @param {unknown} error
 */
function sqliteCodeOf(error) {
  const { errcode } = /** @type {{ errcode?: number }} */ (error);
  return errcode === undefined ? undefined : errcode & 0xff;
}
