import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { type Connection, createConnection } from 'mysql2/promise';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { HistoryContext } from '../../../services/history/context.ts';
import { pair } from '../../../services/history/domain/conversation.ts';
import { append } from '../../../services/history/store/append.ts';
import { MysqlDatabase } from '../../../services/history/store/mysql-database.ts';
import { readStanding } from '../../../services/history/store/standing.ts';
import { SilentProxy } from '../../rpc/kit-proxy.ts';
import { type FreshDatabase, freshDatabase } from '../../support/databases.ts';
import { eventually } from '../../support/eventually.ts';
import { migrated, never } from './engines.ts';
import { appendAll, numbered, readAll, rulesOf, textOf } from './messages.ts';

describe('a MySQL that fails', () => {
  const chat = pair('alice', 'bob');
  let stack: AsyncDisposableStack;
  let database: FreshDatabase;
  let store: MysqlDatabase;
  let other: Connection;

  beforeEach(async () => {
    stack = new AsyncDisposableStack();
    database = stack.use(await freshDatabase(inject('mysqlUrl')));
    await migrated(stack, database.url);
    store = stack.use(new MysqlDatabase(database.url));
    other = await createConnection({ uri: database.url, rowsAsArray: true });
    stack.defer(() => other.end());
    await appendAll(store, chat, numbered('a', 1));
  });
  afterEach(() => stack.disposeAsync());

  /** The connections to the test's database but for `other`; with what they run, if they do. */
  async function connections(): Promise<{ id: number; statement: string | null }[]> {
    const name = new URL(database.url).pathname.slice(1);
    const [rows] = await other.query('SHOW FULL PROCESSLIST');
    return (rows as unknown[][])
      .map(([id, , , db, , , , statement]) => ({ id, db, statement }) as Row)
      .filter(({ id, db }) => db === name && id !== other.threadId);
  }

  /** The connection that runs such a statement: one that has to wait for a lock of `other`. */
  const untilOneRuns = (text: string) =>
    eventually(async () => {
      const running = (await connections()).filter(({ statement }) => statement?.includes(text));
      expect(running).toHaveLength(1);
      return running[0]!.id;
    });

  async function deadlocks(): Promise<number> {
    const [rows] = await other.query(
      "SELECT COUNT FROM information_schema.INNODB_METRICS WHERE NAME = 'lock_deadlocks'",
    );
    return Number((rows as [number][])[0]![0]);
  }

  it('has its victim of a deadlock tried again', async () => {
    const before = await deadlocks();
    await other.beginTransaction();
    // The store will want this seq, and wait while it holds the conversation. Whoever changed less
    // is the victim: not this one.
    const row = [chat.id, 2, 'x', '', 0, Buffer.alloc(16), ''];
    const rows = Array.from({ length: 50 }, (_, n) => row.with(1, 2 + n).with(2, `x${n}`));
    await other.query(
      `INSERT INTO message
       (conversation_id, seq, message_id, sender, sent_at_ms, content_hash, body) VALUES ?`,
      [rows],
    );
    const appended = appendAll(store, chat, numbered('b', 1));
    await untilOneRuns('INSERT INTO message');
    await other.query('SELECT 1 FROM conversation WHERE conversation_id = ? FOR UPDATE', [chat.id]);
    expect(await deadlocks()).toBe(before + 1);
    await other.rollback();
    expect(await appended).toEqual([{ seq: 2, sentAtMs: 0n, repeated: false }]);
    expect((await readAll(store, chat)).map(textOf)).toEqual(['a says 0', 'b says 0']);
  });

  it('has a transaction tried again whose connection was lost', async () => {
    await other.beginTransaction();
    await other.query('SELECT 1 FROM conversation WHERE conversation_id = ? FOR UPDATE', [chat.id]);
    const appended = appendAll(store, chat, numbered('b', 2));
    await other.query('KILL ?', [await untilOneRuns('FOR UPDATE')]);
    await other.rollback();
    expect(await appended).toMatchObject([{ seq: 2 }, { seq: 3 }]);
    expect(await readAll(store, chat)).toHaveLength(3);
  });

  it('has a commit made good whose answer was lost', async () => {
    await using proxy = await CommitCutter.start(database.url);
    await using through = new MysqlDatabase(proxy.url);
    const batch = numbered('b', 2);
    expect(await appendAll(through, chat, batch)).toEqual([
      { seq: 2, sentAtMs: 0n, repeated: true },
      { seq: 3, sentAtMs: 1n, repeated: true },
    ]);
    expect(proxy.cut).toBe(1);
    expect(await readAll(store, chat)).toHaveLength(3);
  });

  it('applies a migration again that died before it was recorded', async () => {
    const [rows] = await other.query('SELECT name FROM schema_migration ORDER BY name');
    const names = (rows as [Buffer][]).map(([name]) => name.toString());
    await other.query('DELETE FROM schema_migration');
    await using stack = new AsyncDisposableStack();
    const context = stack.use(new HistoryContext(database.url, Date.now));
    expect(await context.migrate()).toEqual(names);
    await context.check(never);
    expect((await readAll(store, chat)).map(textOf)).toEqual(['a says 0']);
  });

  it('serves what is left after a connection was lost between calls', async () => {
    expect(await readAll(store, chat)).toHaveLength(1);
    for (const { id } of await connections()) await other.query('KILL ?', [id]);
    expect(await readAll(store, chat)).toHaveLength(1);
    expect(await appendAll(store, chat, numbered('b', 1))).toMatchObject([{ seq: 2 }]);
  });

  it('is UNAVAILABLE where nobody listens, and holds nothing afterwards', async () => {
    const closed = createServer().listen(0, '127.0.0.1');
    await once(closed, 'listening');
    const { port } = closed.address() as AddressInfo;
    closed.close();
    await using gone = new MysqlDatabase(`mysql://root@127.0.0.1:${port}/nowhere`);
    const failure = { code: 14, reason: 'STORE_UNAVAILABLE' };
    await expect(readStanding(gone, chat.id, [], never)).rejects.toMatchObject(failure);
    await expect(append(gone, chat, [numbered('b', 1)], rulesOf())).rejects.toMatchObject(failure);
    expect(gone.connectionsInUse).toBe(0);
  });
});

interface Row {
  id: number;
  db: string | null;
  statement: string | null;
}

it('is left at once by a signal while MySQL hangs', async () => {
  await using database = await freshDatabase(inject('mysqlUrl'));
  const url = new URL(database.url);
  await using proxy = await SilentProxy.start(url.host);
  url.host = proxy.address;
  await using stack = new AsyncDisposableStack();
  const { database: store } = await migrated(stack, url.href);
  proxy.fallSilent();
  const leave = new AbortController();
  const standing = readStanding(store, pair('alice', 'bob').id, [], leave.signal);
  await eventually(() => expect(store.connectionsInUse).toBe(1));
  leave.abort(new Error('nobody waits'));
  await expect(standing).rejects.toThrow('nobody waits');
});

/** A proxy before MySQL that lets one COMMIT through and cuts the connection before it is answered. */
class CommitCutter implements AsyncDisposable {
  cut = 0;
  readonly url: string;
  readonly #close: () => void;

  private constructor(url: string, close: () => void) {
    this.url = url;
    this.#close = close;
  }

  static async start(target: string): Promise<CommitCutter> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = new URL(target);
    const { hostname, port } = url;
    url.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const cutter = new CommitCutter(url.href, () => server.close());
    server.on('connection', (near) => {
      const far = connect(Number(port), hostname);
      let cutting = false;
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        from.on('error', () => to.destroy());
        from.on('close', () => to.destroy());
      }
      near.on('data', (bytes) => {
        cutting = cutter.cut === 0 && bytes.toString('latin1').endsWith('COMMIT');
        if (cutting) cutter.cut++;
        far.write(bytes);
      });
      far.on('data', (bytes) => {
        if (cutting) near.destroy();
        else near.write(bytes);
      });
    });
    return cutter;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#close();
  }
}
