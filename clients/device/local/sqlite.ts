import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { failureOf } from '../../backup/sqlite-process.ts';
import { cancelled } from '../../stream-faults.ts';

/** Longest to wait for another connection's lock, in milliseconds: transactions here are short. */
const PATIENCE_MS = 5_000;

/** Primary result codes of SQLite. */
const SQLITE_ERROR = 1;
const NOT_A_DATABASE = 26;
const SQLITE_BUSY = 5;
const SQLITE_CORRUPT = 11;

/** A value as it is bound or read: integers are safe ones. */
export type Value = SQLInputValue;

/** One row as it is read. */
export type Row = Record<string, Value>;

/**
 * A connection to a SQLite database, whose statements stay prepared. What SQLite fails with is a
 * `BackscrollError` with the reasons of a snapshot: NOT_A_DATABASE, DATABASE_DAMAGED, DATABASE_BUSY,
 * DISK_FULL, SQLITE_FAILED; or CANCELLED once it was closed.
 */
export class Sqlite implements Disposable {
  readonly path: string;
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  #changed = 0;

  /** Opens the database; makes an empty one where `path` is no file. Fails where SQLite can't read it. */
  constructor(path: string) {
    this.path = path;
    this.#database = this.#try(() => {
      const database = new DatabaseSync(path, { timeout: PATIENCE_MS });
      // The file may come from anywhere: nothing in it runs, and what is broken shows as soon as it is met.
      database.enableDefensive(true);
      database.exec('PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON');
      return database;
    });
    try {
      // Of a file whose format it does not know, SQLite says no more than that there is an error.
      this.#try(() => this.#database.exec('SELECT 1 FROM sqlite_schema LIMIT 1'), NOT_A_DATABASE);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Runs statements that bind nothing. */
  exec(sql: string): void {
    this.#try(() => this.#database.exec(sql));
  }

  /** Runs a statement; gives how many rows it changed. */
  run(sql: string, ...values: Value[]): number {
    const changes = this.#try(() => Number(this.#prepared(sql).run(...values).changes));
    this.#changed += changes;
    return changes;
  }

  /** How many rows all that was run here changed, also what was undone: tells whether something did. */
  get changed(): number {
    return this.#changed;
  }

  /** The first row of what a statement reads. */
  get<T extends object = Row>(sql: string, ...values: Value[]): T | undefined {
    return this.#try(() => this.#prepared(sql).get(...values) as T | undefined);
  }

  /** All rows of what a statement reads. */
  all<T extends object = Row>(sql: string, ...values: Value[]): T[] {
    return this.#try(() => this.#prepared(sql).all(...values) as T[]);
  }

  /** As `all`, each row as the array of its values: in half the time. */
  arrays(sql: string, ...values: Value[]): Value[][] {
    return this.#try(() => {
      const statement = this.#prepared(sql);
      statement.setReturnArrays(true);
      return statement.all(...values) as unknown as Value[][];
    });
  }

  /** As `arrays`, one row after another: however many there are, in little memory. One at a time of a statement. */
  *each(sql: string, ...values: Value[]): Generator<Value[], void, undefined> {
    const rows = this.#try(() => {
      const statement = this.#prepared(sql);
      statement.setReturnArrays(true);
      return statement.iterate(...values);
    });
    try {
      for (;;) {
        const { done, value } = this.#try(() => rows.next());
        if (done) return;
        yield value as unknown as Value[];
      }
    } finally {
      rows.return?.();
    }
  }

  /**
   * Does `work` in one transaction that begins as a writer, so that nothing it reads changes before it
   * writes; what it throws undoes all. Within a transaction it is a part of that one.
   */
  transaction<T>(work: () => T): T {
    if (this.#isTransaction()) return work();
    this.get('BEGIN IMMEDIATE');
    try {
      const result = work();
      this.get('COMMIT');
      return result;
    } catch (error) {
      // SQLite may have rolled back by itself, as when the disk is full.
      if (this.#isTransaction()) this.exec('ROLLBACK');
      throw error;
    }
  }

  /** What transactions `work` does are on the disk when they end; others get there with one of these, or later. */
  durably<T>(work: () => T): T {
    if (this.#isTransaction()) return work();
    this.exec('PRAGMA synchronous = FULL');
    try {
      return work();
    } finally {
      this.exec('PRAGMA synchronous = NORMAL');
    }
  }

  /** Closes it; the last connection to it empties its WAL into it. */
  close(): void {
    if (!this.#database.isOpen) return;
    this.#statements.clear();
    this.#database.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #isTransaction(): boolean {
    return this.#try(() => this.#database.isTransaction);
  }

  #prepared(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known) return known;
    const statement = this.#database.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }

  /** `plainError` is what SQLite's plain error means. */
  #try<T>(work: () => T, plainError = SQLITE_ERROR): T {
    try {
      return work();
    } catch (error) {
      const { message, code, errcode } = error as NodeJS.ErrnoException & { errcode?: number };
      if (code === 'ERR_INVALID_STATE') throw cancelled(error, 'The local database is closed');
      // A number that no device writes.
      if (code === 'ERR_OUT_OF_RANGE')
        throw failureOf(this.path, { message, sqliteCode: SQLITE_CORRUPT });
      if (code !== 'ERR_SQLITE_ERROR') throw error;
      const primary = errcode === undefined ? undefined : errcode & 0xff;
      const sqliteCode = primary === SQLITE_ERROR ? plainError : primary;
      throw failureOf(this.path, { message, code, sqliteCode });
    }
  }
}

/**
 * Keeps all others that would lock the same file out of it, also in other processes, until it is
 * disposed of; undefined where another does so. The file is used for nothing else. The system ends the
 * lock with its process, however that ends.
 */
export function tryLock(path: string): Disposable | undefined {
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
    return { [Symbol.dispose]: () => database.isOpen && database.close() };
  } catch (error) {
    database.close();
    if (((error as { errcode?: number }).errcode ?? 0) % 256 === SQLITE_BUSY) return undefined;
    throw error;
  }
}
