import type { SqliteFile } from './sqlite-file.ts';
import type { SchemaAccess } from './store.ts';

/** Changes of the schema go in one transaction, which is the lock; what is left undone is done again. */
export class SqliteSchema implements SchemaAccess {
  readonly #file: SqliteFile;

  constructor(file: SqliteFile) {
    this.#file = file;
  }

  async lock(): Promise<AsyncDisposable> {
    this.#file.execute('BEGIN IMMEDIATE');
    this.#file.execute(
      'CREATE TABLE IF NOT EXISTS schema_migration (name TEXT PRIMARY KEY) STRICT',
    );
    return { [Symbol.asyncDispose]: async () => this.#file.execute('COMMIT') };
  }

  async execute(statement: string): Promise<void> {
    this.#file.execute(statement);
  }

  async applied(): Promise<string[]> {
    return this.#file.guard(() => {
      const rows = this.#file.prepare('SELECT name FROM schema_migration').all();
      return (rows as unknown as [string][]).map(([name]) => name);
    });
  }

  async record(name: string): Promise<void> {
    this.#file.guard(() =>
      this.#file.prepare('INSERT INTO schema_migration (name) VALUES (?)').run(name),
    );
  }
}
