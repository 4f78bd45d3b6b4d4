import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { dataLoss, unavailable } from '../../common/errors.ts';

/** Another process may hold the file for one transaction; waiting for it blocks this one. */
const BUSY_TIMEOUT_MS = 2_000;

/** SQLite's result codes, without what they are extended by. */
const RESULT = {
  busy: 5,
  locked: 6,
  readOnly: 8,
  io: 10,
  corrupt: 11,
  full: 13,
  cantOpen: 14,
  notADatabase: 26,
};

const DAMAGED: ReadonlySet<number> = new Set([RESULT.corrupt, RESULT.notADatabase]);

/** Nothing can be written before somebody makes room, or mends the disk. */
const UNWRITABLE: ReadonlySet<number> = new Set([RESULT.full, RESULT.io, RESULT.readOnly]);

const UNAVAILABLE: ReadonlySet<number> = new Set([
  ...UNWRITABLE,
  ...[RESULT.busy, RESULT.locked, RESULT.cantOpen],
]);

/** One open SQLite file, and what makes its use safe: it is on disk what it was when it was opened. */
export class SqliteFile implements Disposable {
  readonly #database: DatabaseSync;
  readonly #path: string;
  readonly #identity: string | undefined;
  #writable = true;

  /**
   * Opens a file, and makes it and its folder where they are absent.
   *
   * @throws Error, with the path, for a file that is no database or is damaged; the system's errors
   */
  constructor(path: string) {
    mkdirSync(dirname(path), { recursive: true });
    this.#path = path;
    this.#database = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS });
    try {
      // FULL: in WAL mode anything less may lose what was acknowledged when the power fails.
      this.#database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
      this.#identity = identityOf(path);
    } catch (cause) {
      this.#database.close();
      if (!DAMAGED.has(resultOf(cause) ?? 0)) throw cause;
      throw new Error(`${path} is no SQLite database, or is damaged`, { cause });
    }
  }

  /** A statement whose rows are arrays; to be used within `guard` or `transaction`. */
  prepare(sql: string): StatementSync {
    const statement = this.#database.prepare(sql);
    statement.setReturnArrays(true);
    return statement;
  }

  /** Runs one statement that gives no rows. @throws as `guard` */
  execute(sql: string): void {
    this.guard(() => this.#database.exec(sql));
  }

  /**
   * Runs `work` to its end. What it wrote was written to the file that stands under the path: an open
   * file that was deleted takes writes as before, and loses them when it is closed.
   *
   * @throws ServiceError STORE_UNAVAILABLE or DAMAGED for SQLite's own failures
   */
  guard<T>(work: () => T): T {
    let result: T;
    try {
      result = work();
    } catch (error) {
      throw this.#explained(error);
    }
    if (identityOf(this.#path) !== this.#identity) {
      throw unavailable('STORE_UNAVAILABLE', 'The database file was deleted, moved or replaced.');
    }
    return result;
  }

  /** Runs `work` as one transaction, in which no other process writes. */
  transaction<T>(work: () => T): T {
    return this.guard(() => {
      this.#database.exec('BEGIN IMMEDIATE');
      try {
        const result = work();
        this.#database.exec('COMMIT');
        this.#writable = true;
        return result;
      } finally {
        if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      }
    });
  }

  /** Where the last write failed for good, finds out whether writing works again. @throws as `transaction` */
  checkWritable(): void {
    // Nobody reads this number: to set it writes one page.
    if (!this.#writable) this.transaction(() => this.#database.exec('PRAGMA user_version = 0'));
  }

  [Symbol.dispose](): void {
    if (this.#database.isOpen) this.#database.close();
  }

  #explained(error: unknown): unknown {
    const result = resultOf(error);
    if (result === undefined) return error;
    if (UNWRITABLE.has(result)) this.#writable = false;
    const details = { cause: error };
    if (DAMAGED.has(result)) return dataLoss('DAMAGED', 'The database file is damaged.', details);
    if (!UNAVAILABLE.has(result)) return error;
    return unavailable('STORE_UNAVAILABLE', 'The database is busy, full or gone.', details);
  }
}

/** Tells one file from another, whatever they are called; undefined where there is none. */
function identityOf(path: string): string | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat && `${stat.dev} ${stat.ino}`;
}

function resultOf(error: unknown): number | undefined {
  const errcode = (error as { errcode?: unknown } | undefined)?.errcode;
  return typeof errcode === 'number' ? errcode & 0xff : undefined;
}
