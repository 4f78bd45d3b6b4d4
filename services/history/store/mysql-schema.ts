import type { SchemaAccess } from './database.ts';
import type { MysqlDatabase } from './mysql-database.ts';
import { isAppliedAlready, isOfOldSchema } from './mysql-errors.ts';

/** Changes of a MySQL schema, on a connection that holds a lock of the server's. */
export class MysqlSchema implements SchemaAccess {
  readonly #database: MysqlDatabase;
  #connection: Awaited<ReturnType<MysqlDatabase['connect']>> | undefined;

  constructor(database: MysqlDatabase) {
    this.#database = database;
  }

  async lock(): Promise<AsyncDisposable> {
    const connection = await this.#database.connect();
    this.#connection = connection;
    const unlock = async () => {
      this.#connection = undefined;
      await connection.end(); // the lock goes with its connection
    };
    try {
      // Names of locks are short, and shared by all databases of the server.
      await connection.query(
        "SELECT GET_LOCK(CONCAT('backscroll ', LEFT(SHA2(DATABASE(), 256), 32)), -1)",
      );
    } catch (error) {
      await unlock();
      throw error;
    }
    return { [Symbol.asyncDispose]: unlock };
  }

  /** ALTER TABLE has no IF NOT EXISTS; it changes all that it names or nothing, so what is refused as done is done. */
  async execute(statement: string): Promise<void> {
    try {
      await this.#locked().query(statement);
    } catch (error) {
      if (!isAppliedAlready(error)) throw error;
    }
  }

  async applied(): Promise<string[]> {
    try {
      const rows = await this.#database.run((session) =>
        session.rows<[Buffer]>('SELECT name FROM schema_migration', []),
      );
      return rows.map(([name]) => name.toString());
    } catch (error) {
      if (isOfOldSchema((error as Error).cause)) return [];
      throw error;
    }
  }

  async record(name: string): Promise<void> {
    await this.#locked().query(
      'CREATE TABLE IF NOT EXISTS schema_migration (name VARBINARY(255) NOT NULL PRIMARY KEY)',
    );
    await this.#locked().query('INSERT INTO schema_migration (name) VALUES (?)', [name]);
  }

  #locked() {
    if (!this.#connection) throw new Error('the schema is changed under its lock alone');
    return this.#connection;
  }
}
