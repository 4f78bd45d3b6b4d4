/** What a statement may bind. Text never: names and ids are bytes, so that no collation touches them. */
export type Value = Buffer | number | bigint | null;

/** A value, or a list that is written out where its `?` stands: `IN (?)`. Nothing is in an empty one. */
export type Bound = Value | readonly Value[];

/** A table, its columns in the order in which inserted rows give them, and those of its primary key. */
export interface Table {
  readonly name: string;
  readonly columns: readonly string[];
  readonly key: readonly string[];
}

/**
 * What becomes of a row whose key, primary or unique, is there already: the statement is refused with
 * `DuplicateKey`, the row that is there stays as it is, or some of its columns are set to the new
 * values: always, only where that raises them, or so that they rise by one at least.
 */
export type OnDuplicate =
  | 'refuse'
  | 'keep'
  | { readonly [column: string]: 'replace' | 'raise' | 'surpass' };

/** A key of an inserted row was there already; of the statement nothing was done. */
export class DuplicateKey extends Error {
  override readonly name = 'DuplicateKey';

  constructor(table: Table, cause: unknown) {
    super(`a key of ${table.name} is taken`, { cause });
  }
}

/**
 * Statements of one transaction, or by themselves, one at a time. They are written in the SQL that
 * both engines understand; ` FOR UPDATE` at the end locks what is read until the transaction ends.
 * A `?` stands for a value alone, never in a literal. A `LIMIT` is a whole number in the text, one of
 * a few, so that the texts stay few and prepared.
 */
export interface Session {
  /**
   * Rows as arrays in the order of the columns: bytes as Buffers, numbers as numbers. A number that
   * may pass 2^53 must be read as `CAST(… AS CHAR)`, which gives its digits as a string.
   */
  rows<Row>(sql: string, values: readonly Bound[]): Promise<Row[]>;
  /**
   * The rows of one SELECT for each of `bindings`, in their order, in one round trip for some
   * hundred of them. An `ORDER BY` in it needs a `LIMIT`.
   */
  rowsOfEach<Row>(sql: string, bindings: readonly (readonly Value[])[]): Promise<Row[]>;
  /** Changes or deletes rows. */
  write(sql: string, values: readonly Bound[]): Promise<void>;
  /** Inserts all rows, of which there may be none, or throws and inserts none. @throws DuplicateKey */
  insert(
    table: Table,
    rows: readonly (readonly Value[])[],
    onDuplicate: OnDuplicate,
  ): Promise<void>;
}

/**
 * Statements of one transaction, which stays within one shard; or what it writes in each is whole by
 * itself, and may be written again.
 */
export interface Transaction extends Session {
  /**
   * Inserts rows of other shards that must be there before this transaction's own: they are committed
   * at once and stay whatever becomes of it. Where there are no shards they are part of it.
   */
  insertAhead(
    table: Table,
    rows: readonly (readonly Value[])[],
    onDuplicate: OnDuplicate,
  ): Promise<void>;
  /** Changes or deletes rows of other shards, as `insertAhead` inserts them. */
  writeAhead(sql: string, values: readonly Bound[]): Promise<void>;
}

/** Ends a transaction: with `commit` what it wrote stays, else it is as if it never was. */
export interface Ending<T> {
  readonly value: T;
  readonly commit: boolean;
}

/** What changing the schema takes; `migrate` of the kit works through it. */
export interface SchemaAccess {
  /** Keeps everybody else out until it is disposed of, or its holder dies. The other methods need it but for `applied`. */
  lock(): Promise<AsyncDisposable>;
  execute(statement: string): Promise<void>;
  /** Names of the migrations that were recorded. */
  applied(): Promise<string[]>;
  record(name: string): Promise<void>;
}

/**
 * A database with the schema of `migrations`. Any number of processes may work on it at once.
 * Whatever is gone, hangs, is full or busy for too long is UNAVAILABLE, reason STORE_UNAVAILABLE;
 * what can't be read any more DATA_LOSS, reason DAMAGED. What `work` throws comes through as it is.
 */
export interface Database extends AsyncDisposable {
  /** Connections that a statement or transaction holds at this moment. */
  readonly connectionsInUse: number;
  readonly schema: SchemaAccess;

  /**
   * Runs statements by themselves, each committed when it returns and blind to open transactions; all
   * of them again where that may help, so they must be safe to repeat. Not to be waited for inside a
   * transaction: what it writes may wait for that to end. `signal` ends it at once with its reason.
   */
  run<T>(work: (session: Session) => Promise<T>, signal?: AbortSignal): Promise<T>;

  /**
   * Runs `work` as one transaction (READ COMMITTED), and the whole again after a deadlock, a failover
   * or a lost connection: also where the outcome of its commit was lost, so it must be safe to repeat.
   * It is undone where `work` throws.
   */
  transaction<T>(work: (transaction: Transaction) => Promise<Ending<T>>): Promise<T>;

  /**
   * Resolves once nothing of what was removed before is left in the engine's log, where that is the
   * service's to clear. What cannot be cleared now is by the next one.
   */
  scrub(): Promise<void>;

  /** Resolves where rows could be written now; else rejects with what is wrong. Costs a round trip or two. */
  check(signal: AbortSignal): Promise<void>;
}
