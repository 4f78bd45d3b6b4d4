import { mkdtempDisposableSync } from 'node:fs';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Connection, createConnection } from 'mysql2/promise';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { HistoryContext } from '../../../services/history/context.ts';
import { pair } from '../../../services/history/domain/conversation.ts';
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
    await appendAll(context.store, chat, numbered('a', 1));
    await context.check(never);
    expect(context.store.connectionsInUse).toBe(0);
  });
});

describe('health over a MySQL', () => {
  let context: HistoryContext;
  let admin: Connection;

  beforeEach(async () => {
    const database = stack.use(await freshDatabase(inject('mysqlUrl')));
    context = await migrated(stack, database.url);
    await appendAll(context.store, chat, numbered('a', 1));
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
    await expect(context.store.standing(chat.id, undefined, never)).rejects.toMatchObject(failure);
    await expect(appendAll(context.store, chat, numbered('b', 1))).rejects.toMatchObject(failure);
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
    await appendAll(context.store, chat, numbered('a', 500));
  });

  it.each([
    ['deleted', () => rm(path)],
    ['moved', () => rename(path, `${path}.old`)],
    ['replaced', () => rm(path).then(() => writeFile(path, ''))],
  ])('tells of one that was %s, and acknowledges nothing more', async (_how, damage) => {
    await damage();
    await expect(context.check(never)).rejects.toMatchObject(unavailable);
    await expect(appendAll(context.store, chat, numbered('b', 1))).rejects.toMatchObject(
      unavailable,
    );
    await expect(readAll(context.store, chat)).rejects.toMatchObject(unavailable);
  });

  it('tells of one that is damaged', async () => {
    await context[Symbol.asyncDispose]();
    const bytes = await readFile(path);
    await writeFile(path, bytes.fill(0xff, 4096)); // all but the first page
    const again = stack.use(new HistoryContext(`sqlite:${path}`, Date.now));
    await expect(again.check(never)).rejects.toMatchObject(damaged);
    await expect(again.store.standing(chat.id, undefined, never)).rejects.toMatchObject(damaged);
    await expect(appendAll(again.store, chat, numbered('b', 1))).rejects.toMatchObject(damaged);
  });

  it('refuses to open what is no database', async () => {
    const other = `${path}.txt`;
    await writeFile(other, 'Dear diary, '.repeat(1_000));
    expect(() => new HistoryContext(`sqlite:${other}`, Date.now)).toThrow(
      `${other} is no SQLite database`,
    );
  });
});
