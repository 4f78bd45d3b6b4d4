import type {
  Bound,
  Database,
  Ending,
  OnDuplicate,
  Session,
  Table,
  Transaction,
  Value,
} from '../../../services/history/store/database.ts';

/** The process died here. */
export class Died extends Error {
  override readonly name = 'Died';
}

/**
 * A database whose user dies: of the statements and commits that come through here the first `steps` are done,
 * and then everything fails. A transaction that did not commit by then is undone; one that did stays,
 * though nobody hears of it.
 */
export class BreakingDatabase implements Database {
  readonly #database: Database;
  #steps: number;

  constructor(database: Database, steps: number) {
    this.#database = database;
    this.#steps = steps;
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
        insertAhead: (...given: [Table, (readonly Value[])[], OnDuplicate]) =>
          this.#step(() => transaction.insertAhead(...given)),
        writeAhead: (...given: [string, readonly Bound[]]) =>
          this.#step(() => transaction.writeAhead(...given)),
      }),
    );
    return this.#step(async () => value);
  }

  check(signal: AbortSignal): Promise<void> {
    return this.#database.check(signal);
  }

  /** The database outlives those who die over it. */
  async [Symbol.asyncDispose](): Promise<void> {}

  #breaking(session: Session): Session {
    return {
      rows: (...given) => this.#step(() => session.rows(...given)),
      rowsOfEach: (...given) => this.#step(() => session.rowsOfEach(...given)),
      write: (...given) => this.#step(() => session.write(...given)),
      insert: (...given) => this.#step(() => session.insert(...given)),
    };
  }

  #step<T>(work: () => Promise<T>): Promise<T> {
    if (this.#steps-- <= 0) return Promise.reject(new Died('died'));
    return work();
  }
}
