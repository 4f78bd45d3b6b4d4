import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import {
  type Database,
  DuplicateKey,
  type OnDuplicate,
  type Table,
  type Value,
} from '../../../services/history/store/database.ts';
import { MysqlDatabase } from '../../../services/history/store/mysql-database.ts';
import { SqliteDatabase } from '../../../services/history/store/sqlite-database.ts';
import { freshDatabase } from '../../support/databases.ts';

type Open = (stack: AsyncDisposableStack) => Promise<Database>;

const databases: readonly (readonly [name: string, open: Open])[] = [
  [
    'sqlite',
    async (stack) => {
      const folder = stack.use(await mkdtempDisposable(join(tmpdir(), 'database-')));
      return stack.use(new SqliteDatabase(join(folder.path, 'test.db')));
    },
  ],
  [
    'mysql',
    async (stack) => {
      const { url } = stack.use(await freshDatabase(inject('mysqlUrl')));
      return stack.use(new MysqlDatabase(url));
    },
  ],
];

const THING: Table = {
  name: 'thing',
  columns: ['id', 'part', 'number', 'other'],
  key: ['id', 'part'],
};

describe.each(databases)('a database: %s', (name, open) => {
  const a = Buffer.from('a');
  const b = Buffer.from([0, 0xff, 0x27]);
  let stack: AsyncDisposableStack;
  let database: Database;

  beforeEach(async () => {
    stack = new AsyncDisposableStack();
    database = await open(stack);
    await using _lock = await database.schema.lock();
    const bytes = name === 'mysql' ? 'VARBINARY(20)' : 'BLOB';
    await database.schema.execute(
      `CREATE TABLE thing (id ${bytes} NOT NULL, part BIGINT NOT NULL, number BIGINT NOT NULL,
       other BIGINT, PRIMARY KEY (id, part))`,
    );
  });
  afterEach(() => stack.disposeAsync());

  type Row = readonly Value[];
  const insert = (rows: readonly Row[], onDuplicate: OnDuplicate = 'refuse') =>
    database.run((session) => session.insert(THING, rows, onDuplicate));
  const all = () =>
    database.run((session) =>
      session.rows<Row>('SELECT id, part, number, other FROM thing ORDER BY id, part', []),
    );

  it('gives back bytes, numbers and nulls, and large numbers as digits', async () => {
    const rows = [
      [b, 1, 2 ** 53 - 1, null],
      [a, 1, -1, 0],
    ];
    await insert(rows);
    expect(await all()).toEqual(rows);
    await insert([[a, 2, 2n ** 63n - 1n, 0]]);
    const digits = await database.run((session) =>
      session.rows('SELECT CAST(MAX(number) AS CHAR), SUM(part) FROM thing WHERE part = ?', [2]),
    );
    expect(digits).toEqual([['9223372036854775807', 2]]);
  });

  it('finds what is in a list, whatever its length', async () => {
    await insert(Array.from({ length: 100 }, (_, n) => [a, n, n, null]));
    const find = (parts: number[]) =>
      database.run(async (session) => {
        const sql = 'SELECT part FROM thing WHERE id = ? AND part IN (?) AND number < ? ORDER BY 1';
        return (await session.rows<[number]>(sql, [a, parts, 50])).flat();
      });
    for (const length of [0, 1, 2, 3, 5, 8, 50]) {
      const parts = Array.from({ length }, (_, n) => n);
      expect(await find(parts)).toEqual(parts);
    }
    expect(await find([49, 50, 51])).toEqual([49]);
  });

  it('reads the same of each of many', async () => {
    await insert(Array.from({ length: 900 }, (_, n) => [a, n, n % 300, null]));
    const sql = 'SELECT part FROM thing WHERE id = ? AND number = ? ORDER BY part DESC LIMIT 2';
    const readEach = (numbers: number[]) =>
      database.run((session) =>
        session.rowsOfEach<[number]>(
          sql,
          numbers.map((number) => [a, number]),
        ),
      );
    expect(await readEach([])).toEqual([]);
    const numbers = Array.from({ length: 500 }, (_, n) => n);
    expect((await readEach(numbers)).flat()).toEqual(
      numbers.filter((n) => n < 300).flatMap((n) => [n + 600, n + 300]),
    );
  });

  it('keeps, replaces or raises what is there', async () => {
    await insert([]);
    await insert([[a, 1, 5, 5]]);
    await insert([[a, 1, 9, 9]], 'keep');
    expect(await all()).toEqual([[a, 1, 5, 5]]);
    const rows = [
      [a, 1, 7, 4],
      [a, 2, 1, 1],
    ];
    await insert(rows, { number: 'raise', other: 'replace' });
    await insert([[a, 1, 3, 3]], { number: 'raise' });
    expect(await all()).toEqual(rows);
    await insert(rows, { number: 'surpass', other: 'surpass' });
    expect(await all()).toEqual([
      [a, 1, 8, 5],
      [a, 2, 2, 2],
    ]);
    await insert([[a, 1, 10, 3]], { number: 'surpass', other: 'surpass' });
    expect((await all())[0]).toEqual([a, 1, 10, 6]);
  });

  it('inserts none of the rows where one is refused, and goes on in the transaction', async () => {
    await insert([[a, 2, 0, null]]);
    await database.transaction(async (transaction) => {
      await transaction.insert(THING, [[b, 1, 0, null]], 'refuse');
      const rows = [1, 2, 3].map((part) => [a, part, 1, null]);
      const refused = transaction.insert(THING, rows, 'refuse');
      await expect(refused).rejects.toThrow(DuplicateKey);
      await transaction.write('UPDATE thing SET number = ? WHERE id IN (?)', [4, [b, a]]);
      return { value: undefined, commit: true };
    });
    expect(await all()).toEqual([
      [b, 1, 4, null],
      [a, 2, 4, null],
    ]);
  });

  it('shows a transaction to others when it has ended, and undoes what failed', async () => {
    const count = () => all().then((rows) => rows.length);
    const seen = await database.transaction(async (transaction) => {
      await transaction.insert(THING, [[a, 1, 0, null]], 'refuse');
      return { value: await count(), commit: true };
    });
    expect([seen, await count()]).toEqual([0, 1]);
    await database.transaction(async (transaction) => {
      await transaction.write('DELETE FROM thing WHERE id = ?', [a]);
      return { value: undefined, commit: false };
    });
    const failing = database.transaction(async (transaction) => {
      await transaction.write('DELETE FROM thing WHERE id = ?', [a]);
      throw new Error('changed its mind');
    });
    await expect(failing).rejects.toThrow('changed its mind');
    expect([await count(), database.connectionsInUse]).toEqual([1, 0]);
  });

  it('lets transactions on the same row follow each other', async () => {
    await insert([[a, 1, 0, null]]);
    const add = () =>
      database.transaction(async (transaction) => {
        const sql = 'SELECT number FROM thing WHERE id = ? AND part = ? FOR UPDATE';
        const [row] = await transaction.rows<[number]>(sql, [a, 1]);
        await transaction.write('UPDATE thing SET number = ? WHERE id = ? AND part = ?', [
          ...[row![0] + 1, a, 1],
        ]);
        return { value: undefined, commit: true };
      });
    await Promise.all(Array.from({ length: 20 }, add));
    expect(await all()).toEqual([[a, 1, 20, null]]);
  });
});
