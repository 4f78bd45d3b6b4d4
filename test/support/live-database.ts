import { DatabaseSync } from 'node:sqlite';

const ACCOUNTS = 1_200;
const START = 1_000;

/** Makes rows of about a page each, which compress well. */
const FILLER = 'x'.repeat(3_500);

/**
 * Makes a database of about 5 MiB for `live-writer.ts`: accounts, and how many transfers between them
 * there were. Transfer n is the same wherever it is made, so that a copy holds all of the first n and
 * nothing else, or is none.
 */
export function makeAccounts(path: string, journalMode: 'WAL' | 'DELETE'): void {
  const database = new DatabaseSync(path);
  database.exec(`
    PRAGMA journal_mode = ${journalMode};
    PRAGMA synchronous = OFF;
    CREATE TABLE account (id INTEGER PRIMARY KEY, amount INTEGER NOT NULL, filler TEXT NOT NULL);
    CREATE TABLE transfers (made INTEGER NOT NULL);
    INSERT INTO transfers VALUES (0);
    BEGIN`);
  const insert = database.prepare('INSERT INTO account VALUES (?, ?, ?)');
  for (let id = 0; id < ACCOUNTS; id++) insert.run(id, START, FILLER);
  database.exec('COMMIT');
  database.close();
}

/** Makes one transfer after the other. */
export class Transfers implements Disposable {
  readonly #database: DatabaseSync;
  #made = 0;

  /** Waits for a lock for `timeoutMs`; a transfer fails where that is too short. */
  constructor(path: string, timeoutMs: number) {
    this.#database = new DatabaseSync(path, { timeout: timeoutMs });
    this.#database.exec('PRAGMA synchronous = OFF');
  }

  /** Makes the next one; how many there are then. */
  next(): number {
    const [from, to] = accountsOf(this.#made);
    this.#database.exec(`
      BEGIN IMMEDIATE;
      UPDATE account SET amount = amount - 1 WHERE id = ${from};
      UPDATE account SET amount = amount + 1 WHERE id = ${to};
      UPDATE transfers SET made = made + 1;
      COMMIT`);
    return ++this.#made;
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }
}

/** Checks copies of one database, each newer than the one before. */
export class Auditor {
  readonly #amounts = new Array<number>(ACCOUNTS).fill(START);
  #made = 0;

  /** How many transfers a copy holds; throws where it is damaged, or not as those left it. */
  check(path: string): number {
    const database = new DatabaseSync(path);
    try {
      const whole = database.prepare('PRAGMA integrity_check').get()?.integrity_check;
      if (whole !== 'ok') throw new Error(`damaged: ${whole}`);
      const made = Number(database.prepare('SELECT made FROM transfers').get()?.made);
      this.#replay(made);
      const rows = database.prepare('SELECT id, amount FROM account ORDER BY id').all();
      if (rows.length !== ACCOUNTS) throw new Error(`${rows.length} accounts`);
      for (const { id, amount } of rows) {
        if (amount !== this.#amounts[Number(id)]) {
          throw new Error(`account ${id} has ${amount} after ${made} transfers`);
        }
      }
      return made;
    } finally {
      database.close();
    }
  }

  #replay(made: number): void {
    if (made < this.#made) throw new Error(`${made} transfers after ${this.#made}`);
    for (; this.#made < made; this.#made++) {
      const [from, to] = accountsOf(this.#made);
      this.#amounts[from]! -= 1;
      this.#amounts[to]! += 1;
    }
  }
}

/** Far apart in the file. */
function accountsOf(transfer: number): [from: number, to: number] {
  return [(transfer * 7_919) % ACCOUNTS, (transfer * 104_729 + 1) % ACCOUNTS];
}
