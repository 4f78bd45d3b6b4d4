import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { dataLoss, unavailable } from '../../common/errors.ts';
import type { Database, Ending, SchemaAccess, Session, Transaction } from './database.ts';
import { isDamage, isUnavailable, isUnwritable } from './sqlite-errors.ts';
import { SqliteSchema } from './sqlite-schema.ts';
import { SqliteSession } from './sqlite-session.ts';

/**
 * The embedded default: one file, no server. One connection writes, and its transactions wait for each
 * other, those of other processes too; another one reads, and sees only what was committed. Whatever
 * is acknowledged was written to the file that stands under the path: an open file that was deleted
 * takes writes as before, and loses them when it is closed.
 */
export class SqliteDatabase implements Database {
  readonly schema: SchemaAccess;
  readonly #path: string;
  readonly #identity: string | undefined;
  readonly #writer: SqliteSession;
  readonly #reader: SqliteSession;
  /** Statements outside transactions: what writes is a transaction of its own. */
  readonly #single: Session;
  #lastTurn: Promise<void> = Promise.resolve();
  #inUse = 0;
  #writable = true;

  /**
   * Opens a file, and makes it and its folder where they are absent.
   *
   * @throws Error, with the path, for a file that is no database or is damaged; the system's errors
   */
  constructor(path: string) {
    // Chats are nobody else's on the machine; a folder that is there keeps its rights.
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    this.#path = path;
    try {
      using stack = new DisposableStack();
      this.#writer = stack.use(new SqliteSession(path));
      this.#reader = stack.use(new SqliteSession(path));
      this.#identity = identityOf(path);
      stack.move();
    } catch (cause) {
      if (!isDamage(cause)) throw cause;
      throw new Error(`${path} is no SQLite database, or is damaged`, { cause });
    }
    this.schema = new SqliteSchema(this, this.#writer);
    const reader = this.#reader;
    const write = (work: (transaction: Transaction) => Promise<void>) =>
      this.transaction(async (transaction) => ({ value: await work(transaction), commit: true }));
    this.#single = {
      rows: (...asked) => reader.rows(...asked),
      rowsOfEach: (...asked) => reader.rowsOfEach(...asked),
      write: (...given) => write((transaction) => transaction.write(...given)),
      insert: (...given) => write((transaction) => transaction.insert(...given)),
    };
  }

  get connectionsInUse(): number {
    return this.#inUse;
  }

  async run<T>(work: (session: Session) => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    return await this.guard(() => work(this.#single));
  }

  async transaction<T>(work: (transaction: Transaction) => Promise<Ending<T>>): Promise<T> {
    using _turn = await this.takeTurn();
    return await this.guard(async () => {
      this.#writer.execute('BEGIN IMMEDIATE');
      try {
        const { value, commit } = await work(this.#writer);
        this.#writer.execute(commit ? 'COMMIT' : 'ROLLBACK');
        if (commit) this.#writable = true;
        return value;
      } finally {
        if (this.#writer.isInTransaction) this.#writer.execute('ROLLBACK');
      }
    });
  }

  /** What the file no longer has may still stand in the log beside it. */
  async scrub(): Promise<void> {
    using _turn = await this.takeTurn();
    await this.guard(async () => this.#writer.execute('PRAGMA wal_checkpoint(TRUNCATE)'));
  }

  /** Tries to write only where the last write failed for good. */
  async check(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#writable) return;
    // Nobody reads this number: to set it writes one page.
    await this.transaction(async (transaction) => ({
      value: await transaction.write('PRAGMA user_version = 0', []),
      commit: true,
    }));
  }

  /** Waits for the connection that writes, and keeps it until it is disposed of. */
  async takeTurn(): Promise<Disposable> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const before = this.#lastTurn;
    this.#lastTurn = promise;
    await before;
    return { [Symbol.dispose]: resolve };
  }

  /**
   * Runs `work`, which uses one of the connections.
   *
   * @throws ServiceError STORE_UNAVAILABLE or DAMAGED for SQLite's own failures
   */
  async guard<T>(work: () => Promise<T>): Promise<T> {
    this.#inUse++;
    let result: T;
    try {
      result = await work();
    } catch (error) {
      throw this.#explained(error);
    } finally {
      this.#inUse--;
    }
    if (identityOf(this.#path) !== this.#identity) {
      throw unavailable('STORE_UNAVAILABLE', 'The database file was deleted, moved or replaced.');
    }
    return result;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    using _turn = await this.takeTurn();
    this.#reader[Symbol.dispose]();
    this.#writer[Symbol.dispose]();
  }

  #explained(error: unknown): unknown {
    if (isUnwritable(error)) this.#writable = false;
    const details = { cause: error };
    if (isDamage(error)) return dataLoss('DAMAGED', 'The database file is damaged.', details);
    if (!isUnavailable(error)) return error;
    return unavailable('STORE_UNAVAILABLE', 'The database is busy, full or gone.', details);
  }
}

/** Tells one file from another, whatever they are called; undefined where there is none. */
function identityOf(path: string): string | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat && `${stat.dev} ${stat.ino}`;
}
