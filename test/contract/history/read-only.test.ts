import { createConnection } from 'mysql2/promise';
import { expect, it } from 'vitest';
import { pair } from '../../../services/history/domain/conversation.ts';
import { freshDatabase } from '../../support/databases.ts';
import { startMysql } from '../../support/engines.ts';
import { migrated, never } from './engines.ts';
import { appendAll, numbered, readAll } from './messages.ts';

it('tells of a MySQL that is read only, which still answers reads', async () => {
  await using stack = new AsyncDisposableStack();
  // A server of its own: the setting is one for all of its databases.
  const mysql = stack.use(await startMysql());
  const database = stack.use(await freshDatabase(mysql.url));
  const context = await migrated(stack, database.url);
  const chat = pair('alice', 'bob');
  await appendAll(context.database, chat, numbered('a', 1));
  const admin = await createConnection(mysql.url);
  stack.defer(() => admin.end());

  await admin.query('SET GLOBAL super_read_only = ON');
  const failure = { code: 14, reason: 'STORE_UNAVAILABLE' };
  await expect(context.check(never)).rejects.toMatchObject(failure);
  await expect(appendAll(context.database, chat, numbered('b', 1))).rejects.toMatchObject(failure);
  expect(await readAll(context.database, chat)).toHaveLength(1);

  await admin.query('SET GLOBAL read_only = OFF');
  await context.check(never);
  expect(await appendAll(context.database, chat, numbered('b', 1))).toMatchObject([{ seq: 2 }]);
});
