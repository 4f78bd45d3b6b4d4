import { readdir } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { VerificationState } from '../../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import { CHECK } from '../../../services/backup/limits.ts';
import { quickCheckIn } from '../../../services/backup/quick-check.ts';
import { engines } from './engines.ts';
import { age } from './transfers.ts';
import { changed, chatDatabase, databaseOf, TestVerifier } from './verification.ts';

const { PASSED, FAILED } = VerificationState;
const PAGE_BYTES = 4_096;

/** Where a page begins whose number in its file is counted from 1, as SQLite does. */
const pageAt = (page: number) => (page - 1) * PAGE_BYTES;

/** A database of which bytes were changed by hand. */
function forged(file: Buffer, forge: (file: Buffer) => void): Buffer {
  const copy = Buffer.from(file);
  forge(copy);
  return copy;
}

/** The schema holds as many objects as tables of one column. */
const manyTables = (count: number) =>
  databaseOf(
    `BEGIN; ${Array.from({ length: count }, (_, at) => `CREATE TABLE t${at} (a)`).join(';')}; COMMIT`,
  );

/** Each view names the one before it twice. */
const viewBomb = databaseOf(
  'CREATE TABLE v0 (a); INSERT INTO v0 VALUES (1)',
  ...Array.from(
    { length: 60 },
    (_, at) => `CREATE VIEW v${at + 1} AS SELECT * FROM v${at}, v${at}`,
  ),
);

const freed = changed(chatDatabase(2_000), 'DELETE FROM message WHERE id > 20');

/** A schema with so many more tables than the file has, of so many columns each. */
const inflated = (file: Buffer, tables: number, columns: number) =>
  changed(
    file,
    'PRAGMA writable_schema = ON',
    `WITH RECURSIVE t(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM t WHERE i < ${tables}),
        c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ${columns}),
        columns(list) AS (SELECT group_concat('c' || i) FROM c)
      INSERT INTO sqlite_schema
        SELECT 'table', 't' || i, 't' || i, rootpage, 'CREATE TABLE t' || i || '(' || list || ')'
          FROM t, columns, sqlite_schema WHERE name = 'message'`,
  );

/** A function or a tokenizer of a program's own, which SQLite here does not know. */
const withUnknown = (schema: string) =>
  changed(
    chatDatabase(100),
    'PRAGMA writable_schema = ON',
    `UPDATE sqlite_schema SET sql = '${schema}' WHERE name = 'by_text'`,
  );

const unknown = withUnknown('CREATE INDEX by_text ON message (text COLLATE own)');

const hostile: readonly (readonly [name: string, file: Buffer, verification: object])[] = [
  ['views that name each other', viewBomb, { state: PASSED }],
  ['a schema of thousands of tables', manyTables(3_000), { state: PASSED }],
  ['an index that uses an unknown collation', unknown, { state: PASSED }],
  [
    'an index that uses an unknown function',
    withUnknown('CREATE INDEX by_text ON message (own(text))'),
    { state: PASSED },
  ],
  [
    'a broken schema',
    withUnknown('CREATE INDEX by_text ON nothing at all'),
    { state: FAILED, reason: 'CORRUPT' },
  ],
  [
    'a tree that contains itself',
    // The rightmost child of the table's root, an inner page, is that page itself.
    forged(chatDatabase(2_000), (file) => file.writeUInt32BE(2, pageAt(2) + 8)),
    { state: FAILED, reason: 'CORRUPT' },
  ],
  [
    'a free list that leads out of the file',
    forged(freed, (file) => file.writeUInt32BE(0x7fffffff, pageAt(file.readUInt32BE(32)))),
    { state: FAILED, reason: 'CORRUPT' },
  ],
  [
    'a free list that contains itself',
    forged(freed, (file) =>
      file.writeUInt32BE(file.readUInt32BE(32), pageAt(file.readUInt32BE(32))),
    ),
    { state: FAILED, reason: 'CORRUPT' },
  ],
  [
    'a cell that reaches out of its page',
    forged(chatDatabase(10), (file) => file.writeUInt16BE(PAGE_BYTES - 1, pageAt(2) + 8)),
    { state: FAILED, reason: 'CORRUPT' },
  ],
  [
    'fewer pages than its header says',
    chatDatabase(2_000).subarray(0, pageAt(9)),
    { state: FAILED, reason: 'CORRUPT' },
  ],
  [
    'a format of the future',
    forged(chatDatabase(10), (file) => file.writeUInt8(9, 19)),
    { state: FAILED, reason: 'NOT_A_DATABASE' },
  ],
];

describe.each(engines)('a hostile database: %s', (_name, open) => {
  it.each(hostile)('with %s hurts nobody', async (_what, file, verification) => {
    await using stack = new AsyncDisposableStack();
    const store = await open(stack);
    const verifier = await TestVerifier.open(stack, store);
    const backup = await verifier.upload(file);
    expect(backup.verification).toMatchObject(verification);
    const failed = backup.verification?.state === FAILED;
    expect(backup.verification!.detail.length > 0).toBe(failed);
    expect((await age(store)).newestNumber).toBe(failed ? 0n : 1n);
    expect(await readdir(verifier.folder)).toEqual([]);
  });

  it.each([
    // Of each table it takes a look at all, because of one of them it can't take it at once.
    ['time', inflated(unknown, 30_000, 1), { ...CHECK, seconds: 1 }, 'it took too much time'],
    [
      'memory',
      inflated(chatDatabase(10), 600, 2_000),
      { ...CHECK, memoryBytes: 80 * 1024 * 1024 },
      'out of memory',
    ],
  ])('that takes too much %s hurts nobody', async (_what, file, limits, detail) => {
    await using stack = new AsyncDisposableStack();
    const store = await open(stack);
    const verifier = await TestVerifier.open(stack, store, (_, folder) =>
      quickCheckIn(folder, limits),
    );
    const { verification } = await verifier.upload(file);
    expect(verification).toMatchObject({ state: FAILED, reason: 'LIMIT_EXCEEDED', detail });
    expect(await readdir(verifier.folder)).toEqual([]);
  });
});
