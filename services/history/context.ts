import { fileURLToPath } from 'node:url';
import { migrate, schemaIsCurrent } from '../common/migrations.ts';
import { JoinedAppends } from './domain/joined-appends.ts';
import { MysqlDatabase } from './store/mysql-database.ts';
import { SqlStore } from './store/sql-store.ts';
import { SqliteDatabase } from './store/sqlite-database.ts';
import type { HistoryStore } from './store/store.ts';

/** What the handlers of the history service work with. Disposing of it closes the store. */
export class HistoryContext implements AsyncDisposable {
  readonly store: HistoryStore;
  readonly appends: JoinedAppends;
  readonly nowMs: () => number;
  /** The store has no server and no other owner: the service brings its schema up to date by itself. */
  readonly embedded: boolean;
  readonly #migrations: string;

  /** `databaseUrl`: `sqlite:PATH` or `mysql://…`. */
  constructor(databaseUrl: string, nowMs: () => number) {
    this.embedded = databaseUrl.startsWith('sqlite:');
    const database = this.embedded
      ? new SqliteDatabase(databaseUrl.slice('sqlite:'.length))
      : new MysqlDatabase(databaseUrl);
    this.store = new SqlStore(database);
    this.appends = new JoinedAppends(this.store);
    this.nowMs = nowMs;
    const engine = this.embedded ? 'sqlite' : 'mysql';
    this.#migrations = fileURLToPath(new URL(`migrations/${engine}`, import.meta.url));
  }

  /** Brings the schema up to date, and resolves to the names of the migrations that it applied. */
  migrate(): Promise<string[]> {
    return migrate(this.store.schema, this.#migrations);
  }

  /** Resolves while the service can do its work. @throws an error that says what is wrong */
  async check(signal: AbortSignal): Promise<void> {
    if (!(await schemaIsCurrent(this.store.schema, this.#migrations))) {
      throw new Error('the database schema is older than the service: run `npm run migrate`');
    }
    await this.store.check(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store[Symbol.asyncDispose]();
  }
}
