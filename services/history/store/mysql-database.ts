import { setTimeout } from 'node:timers/promises';
import {
  type Connection,
  createConnection,
  createPool,
  type Pool,
  type PoolConnection,
} from 'mysql2/promise';
import { unavailable } from '../../common/errors.ts';
import { STORE } from '../limits.ts';

/** What a statement may bind. Text never: names and ids are bytes, so that no collation touches them. */
export type Value = Buffer | number | bigint | Value[];

/** One connection in one transaction or statement. */
export interface Session {
  /** Runs a statement that stays prepared: for texts of which there are few. */
  execute<Row>(sql: string, values: Value[]): Promise<Row[]>;
  /** Runs a statement written out for these values, of which a list may be one: `VALUES ?`, `IN (?)`. */
  query<Row>(sql: string, values: Value[]): Promise<Row[]>;
}

/** Ends a transaction: with `commit` what it wrote stays, else it is as if it never was. */
export interface Ending<T> {
  readonly value: T;
  readonly commit: boolean;
}

/**
 * Connections to one MySQL database, and what makes their use safe: timeouts, transactions that are
 * tried again as a whole, and UNAVAILABLE at the end. Reads have connections of their own, so that
 * neither kind can starve the other.
 */
export class MysqlDatabase implements AsyncDisposable {
  readonly #url: string;
  readonly #reads: Pool;
  readonly #writes: Pool;
  readonly #ready = new WeakSet<object>();
  /** To be closed at the end, whatever state they are in. */
  readonly #open = new Set<{ destroy(): void }>();
  #inUse = 0;

  constructor(url: string) {
    this.#url = url;
    this.#reads = openPool(url);
    this.#writes = openPool(url);
    for (const pool of [this.#reads, this.#writes]) {
      pool.on('connection', (connection) => {
        this.#open.add(connection);
        connection.on('end', () => this.#open.delete(connection));
      });
    }
  }

  /** Connections that a statement or transaction holds at this moment. */
  get connectionsInUse(): number {
    return this.#inUse;
  }

  /** Runs one statement by itself, again where that may help; it must be safe to repeat. */
  async run<T>(work: (session: Session) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const outcome = this.#attempt(this.#reads, work, signal);
    return signal ? unlessAborted(signal, outcome) : outcome;
  }

  /**
   * Runs `work` as one transaction, and the whole again after a deadlock, a failover or a lost
   * connection: also where the outcome of its commit was lost, so it must be safe to repeat.
   */
  async transaction<T>(work: (session: Session) => Promise<Ending<T>>): Promise<T> {
    return this.#attempt(this.#writes, async (session) => {
      const { value, commit } = await work(session);
      await session.query(commit ? 'COMMIT' : 'ROLLBACK', []);
      return value;
    });
  }

  /** A connection outside the pools, whose statements may take any time: changes of the schema do. */
  connect(): Promise<Connection> {
    return createConnection(connectionOptions(this.#url));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const pools = [this.#reads, this.#writes];
    const timer = new AbortController();
    const timeout = setTimeout(STORE.closeTimeoutMs, undefined, { signal: timer.signal });
    await Promise.race([Promise.all(pools.map((pool) => pool.end())), timeout]);
    timer.abort();
    for (const connection of this.#open) connection.destroy();
  }

  async #attempt<T>(
    pool: Pool,
    work: (session: Session) => Promise<T>,
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
    work: (session: Session) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    const connection = await pool.getConnection();
    if (signal?.aborted) {
      connection.release();
      throw signal.reason;
    }
    this.#inUse++;
    try {
      const session = this.#session(connection);
      if (pool === this.#writes) await this.#prepareForWrites(connection, session);
      const result = await work(session);
      connection.release();
      return result;
    } catch (error) {
      await this.#discard(connection, error);
      throw error;
    } finally {
      this.#inUse--;
    }
  }

  /** A failed connection is used again only where it answers that nothing is left open on it. */
  async #discard(connection: PoolConnection, error: unknown): Promise<void> {
    if (isRefusal(error)) {
      try {
        await this.#session(connection).query('ROLLBACK', []);
        connection.release();
        return;
      } catch {
        // It is gone as well: the first error says why.
      }
    }
    connection.destroy();
  }

  #session(connection: PoolConnection): Session {
    const timeout = STORE.queryTimeoutMs;
    return {
      async execute<Row>(sql: string, values: Value[]) {
        const [rows] = await connection.execute({ sql, timeout }, values);
        return rows as Row[];
      },
      async query<Row>(sql: string, values: Value[]) {
        const [rows] = await connection.query({ sql, timeout }, values);
        return rows as Row[];
      },
    };
  }

  /** Without autocommit the first statement begins the transaction: a round trip less for each. */
  async #prepareForWrites(connection: PoolConnection, session: Session): Promise<void> {
    if (this.#ready.has(connection.connection)) return;
    await session.query(
      `SET SESSION autocommit = 0, transaction_isolation = 'READ-COMMITTED',
       innodb_lock_wait_timeout = ?`,
      [STORE.lockWaitSeconds],
    );
    this.#ready.add(connection.connection);
  }
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
    // Times may be any 64-bit number: beyond 2^53 they come as strings.
    supportBigNumbers: true,
  };
}

function openPool(url: string): Pool {
  return createPool({
    ...connectionOptions(url),
    connectionLimit: STORE.connections,
    queueLimit: STORE.waiting,
  });
}

/** Errors with which MySQL asks for another try of the whole transaction. */
const TRANSIENT_ERRNOS = new Set([
  1213, // deadlock
  1205, // waited too long for a lock
  1180, // failed in its commit
  3101, // rolled back by the replication group
  1290, // read only: a failover
  1836, // read only
  1053, // shutting down
  1317, // interrupted: shutting down as well
]);

/** A table or column is not there (1146, 1054). */
export function isOfOldSchema(error: unknown): boolean {
  const errno = errnoOf(error);
  return errno === 1146 || errno === 1054;
}

/** A unique key refused a row. */
export function isDuplicate(error: unknown): boolean {
  return errnoOf(error) === 1062;
}

function isTransient(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return isRefusal(error) ? TRANSIENT_ERRNOS.has(errnoOf(error)!) : isConnectionFailure(error);
}

/** The server answered, and the answer was an error: the connection itself is sound. */
function isRefusal(error: unknown): boolean {
  return typeof (error as { sqlState?: unknown }).sqlState === 'string' && !isFatal(error);
}

/** Lost, never made, timed out, or none free; mysql2 marks most with `fatal`, the system's with a code. */
function isConnectionFailure(error: Error): boolean {
  return isFatal(error) || 'syscall' in error || LOST.test(`${codeOf(error)} ${error.message}`);
}

const LOST = /PROTOCOL_|ECONN|ETIMEDOUT|EPIPE|closed state|Queue limit|Pool is closed/;

function isFatal(error: unknown): boolean {
  return (error as { fatal?: unknown }).fatal === true;
}

function errnoOf(error: unknown): number | undefined {
  return (error as { errno?: number } | undefined)?.errno;
}

function codeOf(error: unknown): string {
  return (error as { code?: string }).code ?? '';
}
