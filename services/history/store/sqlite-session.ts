import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { isList, singled } from './bound.ts';
import {
  type Bound,
  DuplicateKey,
  type OnDuplicate,
  type Table,
  type Transaction,
  type Value,
} from './database.ts';
import { isDuplicate } from './sqlite-errors.ts';

/** Another process may hold the file for one transaction; waiting for it blocks this one. */
const BUSY_TIMEOUT_MS = 2_000;

/** One connection to a SQLite file, and the statements on it: each has run to its end before its promise is made. */
export class SqliteSession implements Transaction, Disposable {
  readonly #connection: DatabaseSync;
  /** By their texts, of which there are few. */
  readonly #prepared = new Map<string, StatementSync>();

  constructor(path: string) {
    this.#connection = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS });
    try {
      // FULL: in WAL mode anything less may lose what was acknowledged when the power fails.
      this.#connection.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
      // What was deleted or replaced is overwritten in the file, and not merely left to be overwritten.
      this.#connection.exec('PRAGMA secure_delete = ON');
    } catch (error) {
      this.#connection.close();
      throw error;
    }
  }

  /** Whether a transaction is open. */
  get isInTransaction(): boolean {
    return this.#connection.isTransaction;
  }

  /** Runs one statement that binds nothing, gives no rows and seldom comes again. */
  execute(sql: string): void {
    this.#connection.exec(sql);
  }

  async rows<Row>(sql: string, values: readonly Bound[]): Promise<Row[]> {
    return this.#all(sql, values) as Row[];
  }

  async rowsOfEach<Row>(sql: string, bindings: readonly (readonly Value[])[]): Promise<Row[]> {
    return bindings.flatMap((values) => this.#all(sql, values)) as Row[];
  }

  async write(sql: string, values: readonly Bound[]): Promise<void> {
    const bound = values.map(singled);
    this.#prepare(writtenOut(sql, bound)).run(...padded(bound));
  }

  async insert(
    table: Table,
    rows: readonly (readonly Value[])[],
    onDuplicate: OnDuplicate,
  ): Promise<void> {
    const columns = table.columns.join(', ');
    const places = table.columns.map(() => '?').join(', ');
    const statement = this.#prepare(
      `INSERT INTO ${table.name} (${columns}) VALUES (${places}) ${conflictClause(onDuplicate)}`,
    );
    const insertAll = () => {
      for (const row of rows) statement.run(...row);
    };
    try {
      if (rows.length > 1) this.#allOrNone(insertAll);
      else insertAll();
    } catch (error) {
      throw isDuplicate(error) ? new DuplicateKey(table, error) : error;
    }
  }

  /** One file has no shards. */
  insertAhead(...inserted: Parameters<Transaction['insert']>): Promise<void> {
    return this.insert(...inserted);
  }

  writeAhead(...written: Parameters<Transaction['write']>): Promise<void> {
    return this.write(...written);
  }

  [Symbol.dispose](): void {
    this.#prepared.clear();
    if (this.#connection.isOpen) this.#connection.close();
  }

  #all(sql: string, values: readonly Bound[]): unknown[][] {
    const bound = values.map(singled);
    const statement = this.#prepare(writtenOut(sql, bound));
    const rows = statement.all(...padded(bound)) as unknown as unknown[][];
    for (const row of rows) {
      for (let column = 0; column < row.length; column++) {
        const value = row[column];
        if (value instanceof Uint8Array) row[column] = bufferOver(value);
      }
    }
    return rows;
  }

  /** A transaction in the transaction: it undoes the rows before the one that failed. */
  #allOrNone(work: () => void): void {
    this.#prepare('SAVEPOINT statement').run();
    try {
      work();
    } catch (error) {
      if (this.isInTransaction) this.#prepare('ROLLBACK TO statement').run();
      throw error;
    } finally {
      if (this.isInTransaction) this.#prepare('RELEASE statement').run();
    }
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#prepared.get(sql);
    if (!statement) {
      // Locks of rows are unknown here: a transaction that writes has the whole file for itself.
      statement = this.#connection.prepare(sql.replace(/ FOR UPDATE$/, ''));
      statement.setReturnArrays(true);
      this.#prepared.set(sql, statement);
    }
    return statement;
  }
}

function conflictClause(onDuplicate: OnDuplicate): string {
  if (onDuplicate === 'refuse') return '';
  if (onDuplicate === 'keep') return 'ON CONFLICT DO NOTHING';
  const settings = Object.entries(onDuplicate).map(([column, how]) => {
    const value = `excluded.${column}`;
    if (how === 'replace') return `${column} = ${value}`;
    return `${column} = MAX(${column}${how === 'surpass' ? ' + 1' : ''}, ${value})`;
  });
  return `ON CONFLICT DO UPDATE SET ${settings.join(', ')}`;
}

/** The text with a `?` for each value of a list. */
function writtenOut(sql: string, values: readonly Bound[]): string {
  if (!values.some(isList)) return sql;
  const [first, ...rest] = sql.split('?');
  return rest.reduce((text, part, index) => {
    const value = values[index]!;
    const places = isList(value) ? Array(placesOf(value)).fill('?').join(', ') : '?';
    return text + places + part;
  }, first!);
}

/** The values of the text written out: a list repeats its last where it has more places than values. */
function padded(values: readonly Bound[]): Value[] {
  return values.flatMap((value) => {
    if (!isList(value)) return [value];
    return [...value, ...Array<Value>(placesOf(value) - value.length).fill(value.at(-1)!)];
  });
}

/** A power of two, so that statements stay few. */
function placesOf(list: readonly Value[]): number {
  return 2 ** Math.ceil(Math.log2(list.length));
}

function bufferOver({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}
