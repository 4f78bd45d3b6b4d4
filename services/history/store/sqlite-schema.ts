import type { SchemaAccess } from './database.ts';
import type { SqliteDatabase } from './sqlite-database.ts';
import type { SqliteSession } from './sqlite-session.ts';

/** Changes of the schema go in one transaction, which is the lock; what is left undone is done again. */
export class SqliteSchema implements SchemaAccess {
  readonly #database: SqliteDatabase;
  readonly #session: SqliteSession;

  /** `session` is the connection of the database that writes. */
  constructor(database: SqliteDatabase, session: SqliteSession) {
    this.#database = database;
    this.#session = session;
  }

  async lock(): Promise<AsyncDisposable> {
    await using stack = new AsyncDisposableStack();
    stack.use(await this.#database.takeTurn());
    await this.execute('BEGIN IMMEDIATE');
    stack.defer(() => this.execute('COMMIT'));
    await this.execute(
      'CREATE TABLE IF NOT EXISTS schema_migration (name TEXT PRIMARY KEY) STRICT',
    );
    return stack.move();
  }

  async execute(statement: string): Promise<void> {
    await this.#database.guard(async () => this.#session.execute(statement));
  }

  async applied(): Promise<string[]> {
    const rows = await this.#database.guard(() =>
      this.#session.rows<[string]>('SELECT name FROM schema_migration', []),
    );
    return rows.map(([name]) => name);
  }

  async record(name: string): Promise<void> {
    const statement = 'INSERT INTO schema_migration (name) VALUES (CAST(? AS TEXT))';
    await this.#database.guard(() => this.#session.write(statement, [Buffer.from(name)]));
  }
}
