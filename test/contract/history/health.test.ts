import { mkdtempDisposableSync } from 'node:fs';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type Connection, createConnection } from 'mysql2/promise';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { HistoryContext } from '../../../services/history/context.ts';
import { pair } from '../../../services/history/domain/conversation.ts';
import { readStanding } from '../../../services/history/store/standing.ts';
import { freshDatabase } from '../../support/databases.ts';
import { engines, migrated, never } from './engines.ts';
import { appendAll, numbered, readAll } from './messages.ts';

const chat = pair('alice', 'bob');
const unavailable = { code: 14, reason: 'STORE_UNAVAILABLE' };
const damaged = { code: 15, reason: 'DAMAGED' };

let stack: AsyncDisposableStack;
beforeEach(() => {
  stack = new AsyncDisposableStack();
});
afterEach(() => stack.disposeAsync());

describe.each(engines)('health: %s', (_name, open) => {
  it('is good over a database that has its schema, and holds nothing', async () => {
    const context = await open(stack);
    await context.check(never);
    await appendAll(context.database, chat, numbered('a', 1));
    await context.check(never);
    expect(context.database.connectionsInUse).toBe(0);
  });
});

describe('health over a MySQL', () => {
  let context: HistoryContext;
  let admin: Connection;

  beforeEach(async () => {
    const database = stack.use(await freshDatabase(inject('mysqlUrl')));
    context = await migrated(stack, database.url);
    await appendAll(context.database, chat, numbered('a', 1));
    admin = await createConnection(database.url);
    stack.defer(() => admin.end());
  });

  it.each(['conversation', 'message', 'member', 'membership'])(
    'tells that %s is gone',
    async (table) => {
      await admin.query(`DROP TABLE ${table}`);
      await expect(context.check(never)).rejects.toMatchObject(unavailable);
    },
  );

  it('tells of an old schema, as the calls do', async () => {
    await admin.query('DROP TABLE conversation, message, member, membership, schema_migration');
    await expect(context.check(never)).rejects.toThrow('npm run migrate');
    const failure = { ...unavailable, message: expect.stringContaining('npm run migrate') };
    await expect(readStanding(context.database, chat.id, [], never)).rejects.toMatchObject(failure);
    await expect(appendAll(context.database, chat, numbered('b', 1))).rejects.toMatchObject(
      failure,
    );
    await context.migrate();
    await context.check(never);
  });
});

describe('health over a SQLite file', () => {
  let path: string;
  let context: HistoryContext;

  beforeEach(async () => {
    const folder = stack.use(mkdtempDisposableSync(join(tmpdir(), 'history-')));
    path = join(folder.path, 'history.db');
    context = await migrated(stack, `sqlite:${path}`);
    await appendAll(context.database, chat, numbered('a', 500));
  });

  it.each([
    ['deleted', () => rm(path)],
    ['moved', () => rename(path, `${path}.old`)],
    ['replaced', () => rm(path).then(() => writeFile(path, ''))],
  ])('tells of one that was %s, and acknowledges nothing more', async (_how, damage) => {
    await damage();
    await expect(context.check(never)).rejects.toMatchObject(unavailable);
    await expect(appendAll(context.database, chat, numbered('b', 1))).rejects.toMatchObject(
      unavailable,
    );
    await expect(readAll(context.database, chat)).rejects.toMatchObject(unavailable);
  });

  it('tells of one that is damaged', async () => {
    await context[Symbol.asyncDispose]();
    const bytes = await readFile(path);
    for (const page of rootPages(path)) bytes.fill(0xff, (page - 1) * 4096, page * 4096);
    await writeFile(path, bytes);
    const again = stack.use(new HistoryContext(`sqlite:${path}`, Date.now));
    await expect(again.check(never)).rejects.toMatchObject(damaged);
    await expect(readStanding(again.database, chat.id, [], never)).rejects.toMatchObject(damaged);
    await expect(appendAll(again.database, chat, numbered('b', 1))).rejects.toMatchObject(damaged);
  });

  it('refuses to open what is no database', async () => {
    const other = `${path}.txt`;
    await writeFile(other, 'Dear diary, '.repeat(1_000));
    expect(() => new HistoryContext(`sqlite:${other}`, Date.now)).toThrow(
      `${other} is no SQLite database`,
    );
  });
});

/** Pages in which the tables begin; the schema itself stands elsewhere. */
function rootPages(path: string): number[] {
  using database = new DatabaseSync(path);
  const rows = database.prepare("SELECT rootpage FROM sqlite_master WHERE type = 'table'").all();
  return rows.map(({ rootpage }) => Number(rootpage));
}
