import type {
  Database,
  Ending,
  Session,
  Transaction,
} from '../../../services/history/store/database.ts';

/** The process died here, or only a statement failed. */
export class Died extends Error {
  override readonly name = 'Died';
}

/**
 * A database of whose statements some fail: all but the first so many, as of a process that dies, or
 * those that a function tells by their text. Commits count as statements, too, with the text `COMMIT`:
 * what was committed stays then, and nobody hears of it. Other transactions in which one fails are
 * undone.
 */
export class BreakingDatabase implements Database {
  readonly #database: Database;
  readonly #fails: (sql: string) => boolean;

  constructor(database: Database, fails: number | ((sql: string) => boolean)) {
    this.#database = database;
    let steps = Number(fails);
    this.#fails = typeof fails === 'number' ? () => steps-- <= 0 : fails;
  }

  get schema() {
    return this.#database.schema;
  }

  get connectionsInUse(): number {
    return this.#database.connectionsInUse;
  }

  run<T>(work: (session: Session) => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#database.run((session) => work(this.#breaking(session)), signal);
  }

  async transaction<T>(work: (transaction: Transaction) => Promise<Ending<T>>): Promise<T> {
    const value = await this.#database.transaction((transaction) =>
      work({
        ...this.#breaking(transaction),
        insertAhead: (table, ...given) =>
          this.#step(`INSERT INTO ${table.name}`, () => transaction.insertAhead(table, ...given)),
        writeAhead: (sql, values) => this.#step(sql, () => transaction.writeAhead(sql, values)),
      }),
    );
    return this.#step('COMMIT', async () => value);
  }

  scrub(): Promise<void> {
    return this.#database.scrub();
  }

  check(signal: AbortSignal): Promise<void> {
    return this.#database.check(signal);
  }

  /** The database outlives it. */
  async [Symbol.asyncDispose](): Promise<void> {}

  #breaking(session: Session): Session {
    return {
      rows: (sql, values) => this.#step(sql, () => session.rows(sql, values)),
      rowsOfEach: (sql, bindings) => this.#step(sql, () => session.rowsOfEach(sql, bindings)),
      write: (sql, values) => this.#step(sql, () => session.write(sql, values)),
      insert: (table, ...given) =>
        this.#step(`INSERT INTO ${table.name}`, () => session.insert(table, ...given)),
    };
  }

  async #step<T>(sql: string, work: () => Promise<T>): Promise<T> {
    if (this.#fails(sql)) throw new Died(sql);
    return work();
  }
}
