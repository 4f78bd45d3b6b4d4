import { setTimeout } from 'node:timers/promises';
import { createPool, type Pool, type PoolConnection } from 'mysql2';
import { type Connection, createConnection } from 'mysql2/promise';
import { unavailable } from '../../common/errors.ts';
import { STORE } from '../limits.ts';
import type { Database, Ending, SchemaAccess, Session, Transaction, Value } from './database.ts';
import { isConnectionFailure, isOfOldSchema, isTransient } from './mysql-errors.ts';
import { MysqlSchema } from './mysql-schema.ts';
import { MysqlSession, type Sender } from './mysql-session.ts';

/**
 * A database of MySQL 8.0 or newer, or of what speaks like it: connections, and what makes their use
 * safe: timeouts, transactions that are tried again as a whole, and UNAVAILABLE at the end. What runs
 * outside transactions has connections of its own, so that neither kind can starve the other.
 */
export class MysqlDatabase implements Database {
  readonly schema: SchemaAccess;
  readonly #url: string;
  readonly #reads: Pool;
  readonly #writes: Pool;
  readonly #ready = new WeakSet<object>();
  /** To be closed at the end, whatever state they are in. */
  readonly #open = new Set<{ destroy(): void }>();
  #inUse = 0;

  /** `url`: `mysql://user:password@host:port/database`. It connects when it is first used. */
  constructor(url: string) {
    this.#url = url;
    this.schema = new MysqlSchema(this);
    this.#reads = openPool(url, STORE.readConnections);
    this.#writes = openPool(url, STORE.writeConnections);
    for (const pool of [this.#reads, this.#writes]) {
      pool.on('connection', (connection) => {
        this.#open.add(connection);
        connection.on('end', () => this.#open.delete(connection));
      });
    }
  }

  get connectionsInUse(): number {
    return this.#inUse;
  }

  async run<T>(work: (session: Session) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const runWith = (sender: Sender) => work(new MysqlSession(sender));
    const outcome = this.#attempt(this.#reads, runWith, signal);
    return signal ? unlessAborted(signal, outcome) : outcome;
  }

  async transaction<T>(work: (transaction: Transaction) => Promise<Ending<T>>): Promise<T> {
    return this.#attempt(this.#writes, async (sender) => {
      const { value, commit } = await work(new MysqlTransaction(sender, this));
      await sender.query(commit ? 'COMMIT' : 'ROLLBACK', []);
      return value;
    });
  }

  /** MySQL clears its logs by itself. */
  async scrub(): Promise<void> {}

  async check(signal: AbortSignal): Promise<void> {
    const outcome = this.#attempt(this.#writes, async (sender) => {
      // Refused where this user may not write now: the server is read only after a failover.
      await sender.query('START TRANSACTION READ WRITE', []);
      await sender.query('ROLLBACK', []);
    });
    await unlessAborted(signal, outcome);
  }

  /** A connection outside the pools, whose statements may take any time: changes of the schema do. */
  connect(): Promise<Connection> {
    return createConnection(connectionOptions(this.#url));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const pools = [this.#reads, this.#writes];
    const timer = new AbortController();
    const timeout = setTimeout(STORE.closeTimeoutMs, undefined, { signal: timer.signal });
    await Promise.race([Promise.all(pools.map((pool) => pool.promise().end())), timeout]);
    timer.abort();
    for (const connection of this.#open) connection.destroy();
  }

  async #attempt<T>(
    pool: Pool,
    work: (sender: Sender) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    const beganMs = performance.now();
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#once(pool, work, signal);
      } catch (error) {
        if (isOfOldSchema(error)) {
          const message = "The database's schema is old: run `npm run migrate`.";
          throw unavailable('STORE_UNAVAILABLE', message, { cause: error });
        }
        if (!isTransient(error)) throw error;
        const tired = performance.now() - beganMs > STORE.retryForMs;
        if (tired || attempt >= STORE.attempts) {
          throw unavailable('STORE_UNAVAILABLE', 'The database is gone or busy.', { cause: error });
        }
        const delayMs = STORE.retryDelayMs * 2 ** (attempt - 1);
        await setTimeout(delayMs * (0.5 + Math.random() / 2), undefined, signal && { signal });
      }
    }
  }

  async #once<T>(
    pool: Pool,
    work: (sender: Sender) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    const connection = await answer<PoolConnection>((done) => pool.getConnection(done));
    if (signal?.aborted) {
      connection.release();
      throw signal.reason;
    }
    this.#inUse++;
    try {
      const sender = senderOver(connection);
      if (pool === this.#writes) await this.#prepareForWrites(connection, sender);
      const result = await work(sender);
      connection.release();
      return result;
    } catch (error) {
      await this.#discard(connection, error);
      throw error;
    } finally {
      this.#inUse--;
    }
  }

  /** A connection on which something failed is used again only where it answers that nothing is left open. */
  async #discard(connection: PoolConnection, error: unknown): Promise<void> {
    if (!isConnectionFailure(error)) {
      try {
        await senderOver(connection).query('ROLLBACK', []);
        connection.release();
        return;
      } catch {
        // It is gone as well: the first error says why.
      }
    }
    connection.destroy();
  }

  /** Without autocommit the first statement begins the transaction: a round trip less for each. */
  async #prepareForWrites(connection: PoolConnection, sender: Sender): Promise<void> {
    if (this.#ready.has(connection)) return;
    await sender.query(
      `SET SESSION autocommit = 0, transaction_isolation = 'READ-COMMITTED',
       innodb_lock_wait_timeout = ?`,
      [STORE.lockWaitSeconds],
    );
    this.#ready.add(connection);
  }
}

/** A transaction's session; what goes ahead takes a connection for reads, which commits each statement. */
class MysqlTransaction extends MysqlSession implements Transaction {
  readonly #database: MysqlDatabase;

  constructor(sender: Sender, database: MysqlDatabase) {
    super(sender);
    this.#database = database;
  }

  async insertAhead(...inserted: Parameters<Session['insert']>): Promise<void> {
    await this.#database.run((session) => session.insert(...inserted));
  }

  async writeAhead(...written: Parameters<Session['write']>): Promise<void> {
    await this.#database.run((session) => session.write(...written));
  }
}

function senderOver(connection: PoolConnection): Sender {
  const timeout = STORE.queryTimeoutMs;
  return {
    execute: (sql, values) =>
      answer((done) => connection.execute({ sql, timeout, values: [...values] as Value[] }, done)),
    query: (sql, values) =>
      answer((done) => connection.query({ sql, timeout, values: [...values] }, done)),
  };
}

/** What a call of the driver gives. The driver's own promises take a stack trace each: longer than the call. */
function answer<T>(call: (done: (error: Error | null, value: T) => void) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    call((error, value) => (error ? reject(error) : resolve(value)));
  });
}

/** The outcome of `work`, or the signal's reason once it fires; `work` then ends unheard. */
async function unlessAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  signal.addEventListener('abort', abort);
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

function connectionOptions(uri: string) {
  return {
    uri,
    connectTimeout: STORE.connectTimeoutMs,
    rowsAsArray: true,
    // Sums are decimals, and would come as strings.
    decimalNumbers: true,
  };
}

function openPool(url: string, connectionLimit: number): Pool {
  return createPool({
    ...connectionOptions(url),
    connectionLimit,
    queueLimit: STORE.waiting,
  });
}
