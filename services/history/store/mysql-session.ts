import { isList, singled } from './bound.ts';
import {
  type Bound,
  DuplicateKey,
  type OnDuplicate,
  type Session,
  type Table,
  type Value,
} from './database.ts';
import { isDuplicate } from './mysql-errors.ts';

/** SELECTs of one UNION ALL: beyond it nothing is won per SELECT, and the statement's text grows long. */
const UNION_SELECTS = 200;

/** How statements reach a connection. */
export interface Sender {
  /** Sends a statement that stays prepared: for texts of which there are few. */
  execute(sql: string, values: readonly Bound[]): Promise<unknown>;
  /** Sends a statement written out for these values, lists of rows among them: `VALUES ?`. */
  query(sql: string, values: readonly (Bound | readonly (readonly Value[])[])[]): Promise<unknown>;
}

/** Statements on one connection of MySQL. */
export class MysqlSession implements Session {
  readonly #sender: Sender;

  constructor(sender: Sender) {
    this.#sender = sender;
  }

  async rows<Row>(sql: string, values: readonly Bound[]): Promise<Row[]> {
    return (await this.#send(sql, values)) as Row[];
  }

  async rowsOfEach<Row>(sql: string, bindings: readonly (readonly Value[])[]): Promise<Row[]> {
    const pieces: Row[][] = [];
    for (let from = 0; from < bindings.length; from += UNION_SELECTS) {
      const some = bindings.slice(from, from + UNION_SELECTS);
      const union = some.map(() => `(${sql})`).join(' UNION ALL ');
      pieces.push((await this.#sender.query(union, some.flat())) as Row[]);
    }
    return pieces.flat();
  }

  async write(sql: string, values: readonly Bound[]): Promise<void> {
    await this.#send(sql, values);
  }

  async insert(
    table: Table,
    rows: readonly (readonly Value[])[],
    onDuplicate: OnDuplicate,
  ): Promise<void> {
    const [first, ...others] = rows;
    if (first === undefined) return;
    const into = `INSERT INTO ${table.name} (${table.columns.join(', ')}) VALUES`;
    const clause = duplicateClause(table, onDuplicate);
    try {
      if (others.length > 0) await this.#sender.query(`${into} ? ${clause}`, [rows]);
      else
        await this.#sender.execute(`${into} (${first.map(() => '?').join(', ')}) ${clause}`, first);
    } catch (error) {
      throw isDuplicate(error) ? new DuplicateKey(table, error) : error;
    }
  }

  #send(sql: string, values: readonly Bound[]): Promise<unknown> {
    const bound = values.map(singled);
    return bound.some(isList) ? this.#sender.query(sql, bound) : this.#sender.execute(sql, bound);
  }
}

function duplicateClause({ key }: Table, onDuplicate: OnDuplicate): string {
  if (onDuplicate === 'refuse') return '';
  // A column that gets its own value: the row is locked, and stays as it is.
  const columns = onDuplicate === 'keep' ? { [key.at(-1)!]: 'replace' } : onDuplicate;
  const settings = Object.entries(columns).map(([column, how]) => {
    const value = `VALUES(${column})`;
    if (how === 'replace') return `${column} = ${value}`;
    return `${column} = GREATEST(${column}${how === 'surpass' ? ' + 1' : ''}, ${value})`;
  });
  return `ON DUPLICATE KEY UPDATE ${settings.join(', ')}`;
}
