import { fileURLToPath } from 'node:url';
import { migrate, schemaIsCurrent } from '../common/migrations.ts';
import { JoinedAppends } from './domain/joined-appends.ts';
import { append } from './store/append.ts';
import type { Database } from './store/database.ts';
import { MysqlDatabase } from './store/mysql-database.ts';
import { SqliteDatabase } from './store/sqlite-database.ts';
import { TABLES } from './store/tables.ts';

/** What the handlers of the history service work with. Disposing of it closes the database. */
export class HistoryContext implements AsyncDisposable {
  readonly database: Database;
  readonly appends: JoinedAppends;
  readonly nowMs: () => number;
  /** How long messages are kept in conversations that say nothing else, in milliseconds; 0 for ever. */
  readonly retentionMs: number;
  /** The database has no server and no other owner: the service brings its schema up to date by itself. */
  readonly embedded: boolean;
  readonly #migrations: string;

  /** `databaseUrl`: `sqlite:PATH` or `mysql://…`. */
  constructor(databaseUrl: string, nowMs: () => number, retentionMs = 0) {
    this.embedded = databaseUrl.startsWith('sqlite:');
    this.database = this.embedded
      ? new SqliteDatabase(databaseUrl.slice('sqlite:'.length))
      : new MysqlDatabase(databaseUrl);
    this.appends = new JoinedAppends((conversation, batches, senders) =>
      append(this.database, conversation, batches, { senders, nowMs }),
    );
    this.nowMs = nowMs;
    this.retentionMs = retentionMs;
    const engine = this.embedded ? 'sqlite' : 'mysql';
    this.#migrations = fileURLToPath(new URL(`migrations/${engine}`, import.meta.url));
  }

  /** Brings the schema up to date, and resolves to the names of the migrations that it applied. */
  migrate(): Promise<string[]> {
    return migrate(this.database.schema, this.#migrations);
  }

  /** Resolves while the service can do its work. @throws an error that says what is wrong */
  async check(signal: AbortSignal): Promise<void> {
    if (!(await schemaIsCurrent(this.database.schema, this.#migrations))) {
      throw new Error('the database schema is older than the service: run `npm run migrate`');
    }
    await this.database.check(signal);
    await this.database.run(async (session) => {
      for (const { name, key } of TABLES) {
        await session.rows(`SELECT 1 FROM ${name} WHERE ${key[0]} = ? LIMIT 1`, [Buffer.alloc(16)]);
      }
    }, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.database[Symbol.asyncDispose]();
  }
}
