import { readFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import type { Random } from '../random.ts';

const rowBytes = 16_000;

/**
 * A SQLite file of 2 to 8 MiB that changes from state to state as a device's does: mostly a few rows,
 * now and then nothing, many, or most of it. Its contents do not compress.
 */
export class ChangingDatabase implements Disposable {
  readonly #path: string;
  readonly #random: Random;
  readonly #database: DatabaseSync;

  /** Makes the file, which must not exist. */
  constructor(path: string, random: Random) {
    this.#path = path;
    this.#random = random;
    this.#database = new DatabaseSync(path);
    this.#database.exec(`
      PRAGMA page_size = ${random.pick([512, 4_096, 16_384])};
      PRAGMA journal_mode = OFF;
      PRAGMA synchronous = OFF;
      CREATE TABLE item (id INTEGER PRIMARY KEY, body BLOB NOT NULL)`);
    this.#insert(random.between(130, 400));
  }

  /** The file's bytes after one more change. */
  next(): Uint8Array {
    const random = this.#random;
    const change = random.between(0, 9);
    if (change === 0) {
      this.#database.exec(`DELETE FROM item WHERE id % ${random.between(2, 9)} = 0`);
      this.#insert(random.between(10, 60));
    } else if (change > 1) {
      this.#update(random.between(1, 20));
      this.#insert(random.between(0, 5));
    }
    return readFileSync(this.#path);
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }

  #insert(rows: number): void {
    const insert = this.#database.prepare('INSERT INTO item (body) VALUES (?)');
    this.#inTransaction(rows, () => insert.run(this.#random.bytes(rowBytes)));
  }

  #update(rows: number): void {
    const highest = this.#database.prepare('SELECT max(id) AS id FROM item').get()?.id;
    const update = this.#database.prepare('UPDATE item SET body = ? WHERE id = ?');
    this.#inTransaction(rows, () => {
      update.run(this.#random.bytes(rowBytes), this.#random.between(1, Number(highest)));
    });
  }

  #inTransaction(times: number, change: () => void): void {
    this.#database.exec('BEGIN');
    for (let i = 0; i < times; i++) change();
    this.#database.exec('COMMIT');
  }
}
