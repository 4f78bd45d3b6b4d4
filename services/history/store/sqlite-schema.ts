import type { SqliteFile } from './sqlite-file.ts';
import type { SchemaAccess } from './store.ts';

/** Changes of the schema go in one transaction, which is the lock; what is left undone is done again. */
export class SqliteSchema implements SchemaAccess {
  readonly #file: SqliteFile;

  constructor(file: SqliteFile) {
    this.#file = file;
  }

  async lock(): Promise<AsyncDisposable> {
    this.#execute('BEGIN IMMEDIATE');
    this.#execute('CREATE TABLE IF NOT EXISTS schema_migration (name TEXT PRIMARY KEY) STRICT');
    return { [Symbol.asyncDispose]: async () => this.#execute('COMMIT') };
  }

  async execute(statement: string): Promise<void> {
    this.#execute(statement);
  }

  async applied(): Promise<string[]> {
    const { database } = this.#file;
    const names = this.#file.guard(() =>
      database.prepare('SELECT name FROM schema_migration').all(),
    );
    return names.map(({ name }) => String(name));
  }

  async record(name: string): Promise<void> {
    const { database } = this.#file;
    this.#file.guard(() =>
      database.prepare('INSERT INTO schema_migration (name) VALUES (?)').run(name),
    );
  }

  #execute(statement: string): void {
    this.#file.guard(() => this.#file.database.exec(statement));
  }
}
