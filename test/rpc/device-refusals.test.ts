import { existsSync } from 'node:fs';
import { create } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { Device, RESTORE } from '../../clients/device/index.ts';
import { BackscrollError } from '../../clients/errors.ts';
import { MessageSchema } from '../../clients/gen/backscroll/history/v1/message_pb.ts';
import { TestProcess } from '../support/processes.ts';
import { harness, Reader, useHarness } from './device-harness.ts';

const bob = { peer: 'bob' };

useHarness();

/** What a call fails with, whether it throws or rejects. */
async function failureOf(work: () => unknown): Promise<unknown> {
  try {
    await work();
  } catch (error) {
    return error;
  }
  throw new Error(`${work} did not fail`);
}

/** A value that a program without types may pass. */
function untyped<T>(value: unknown): T {
  return value as T;
}

const notCounts = [-1, 1.5, Number.NaN, Infinity, 1_000_001, untyped<number>(undefined)];

test('what can’t be meant is refused by its field, and reaches no service', async () => {
  await using device = await harness.open('alice');
  const { session } = new Reader(device, bob);
  const inbox = device.readSummary(() => {});
  const nobody = () => {};
  const refused: [field: string, work: () => unknown][] = [
    ...notCounts.flatMap((count): [string, () => unknown][] => [
      ['count', () => session.read(count)],
      ['count', () => session.sync(count)],
      ['count', () => session.more(count)],
      ['count', () => inbox.read(count)],
      ['count', () => inbox.sync(count)],
      ['count', () => inbox.more(count)],
    ]),
    ['peer', () => device.readSession(untyped({}), nobody)],
    ['group', () => device.readSession(untyped({ peer: 'bob', group: 'g' }), nobody)],
    ['peer', () => device.readSession({ peer: 'b\n' }, nobody)],
    ['order', () => device.readSession({ ...bob, order: untyped('fifo') }, nobody)],
    ['kinds[1]', () => device.readSession({ ...bob, kinds: ['file', untyped('odd')] }, nobody)],
    ['kinds', () => device.readSession({ ...bob, kinds: untyped('file') }, nobody)],
    ['listener', () => device.readSession(bob, untyped(undefined))],
    ['listener', () => device.readSummary(untyped(5))],
    ['thread', () => device.readSession({ ...bob, thread: untyped(5) }, nobody)],
    ...[-1, 0, 1.5, Number.NaN].flatMap((seq): [string, () => unknown][] => [
      ['seq', () => device.edit(bob, seq, { text: 'x' })],
      ['seq', () => device.markRead(bob, seq)],
      ['seqs[1]', () => device.deleteMessages(bob, { scope: 'for-me', seqs: [1, seq] })],
      ['upToSeq', () => device.deleteMessages(bob, { scope: 'for-me', upToSeq: seq })],
    ]),
    ['expectedRevision', () => device.edit(bob, 1, { text: 'x' }, -1)],
    ['peer', () => device.edit({ peer: '' }, 1, { text: 'x' })],
    ['peer', () => device.deleteMessages(untyped({}), { scope: 'for-me', seqs: [1] })],
    ['peer', () => device.append({ peer: untyped(5) }, { content: { text: 'x' } })],
    ['message', () => device.append(bob, { sentAtMs: untyped('x') })],
    ['users[1]', () => device.refreshProfiles(['bob', ''])],
    ['name', () => device.setSetting(untyped(5), 'x')],
    ['value', () => device.setSetting('x', untyped(5))],
    ['number', () => device.restoreLatest({ number: 1.5 })],
  ];
  for (const [field, work] of refused) {
    const error = await failureOf(work);
    expect(error, `${field}: ${work}`).toBeInstanceOf(BackscrollError);
    expect((error as BackscrollError).fields.map((fault) => fault.field)).toEqual([field]);
  }
  expect(harness.relay.calls).toEqual([]);
  expect(device.counts()).toEqual({ stored: 0, unread: 0, waiting: 0 });
});

test('a device is opened for a user that can be, and where there is a folder', async () => {
  const open = (user: unknown, database: unknown = harness.path()) =>
    Device.open({
      database: untyped(database),
      user: untyped(user),
      history: harness.relay.address,
      backup: '127.0.0.1:1',
    });
  for (const user of ['', undefined, 5, 'a\u0000', 'é'.repeat(128)]) {
    await expect(open(user)).rejects.toMatchObject({ fields: [{ field: 'user' }] });
  }
  await expect(open('alice', 5)).rejects.toMatchObject({ fields: [{ field: 'database' }] });
  await expect(open('alice', `${harness.path()}/x.db`)).rejects.toMatchObject({ code: 'ENOENT' });
});

test('once it is closed, everything fails with one reason', async () => {
  await harness.chat(3);
  const device = await harness.open('alice');
  const reader = new Reader(device, bob);
  await reader.session.more(3);
  const [message] = reader.messages;
  const inbox = device.readSummary(() => {});
  await device.close();
  const closed: (() => unknown)[] = [
    () => reader.session.read(1),
    () => reader.session.sync(1),
    () => reader.session.more(1),
    () => inbox.read(1),
    () => inbox.sync(1),
    () => device.readSession(bob, () => {}),
    () => device.conversation(bob),
    () => device.refresh(),
    () => device.profile('bob'),
    () => device.refreshProfiles(['bob']),
    () => device.receive(bob, create(MessageSchema, { seq: 9n, id: 'x' })),
    () => device.append(bob, { content: { text: 'x' } }),
    () => device.flush(),
    () => device.retry({ peer: 'bob' }, 'x'),
    () => device.discard({ peer: 'bob' }, 'x'),
    () => device.edit(bob, 1, { text: 'x' }),
    () => device.deleteMessages(bob, { scope: 'for-me', seqs: [1] }),
    () => device.markRead(bob, 1),
    () => device.counts(),
    () => device.setting('x'),
    () => device.setSetting('x', 'y'),
    () => device.databaseAge(),
    () => device.serverBackupAge(),
    () => device.uploadBackup(),
    () => device.restoreLatest().then((code) => Promise.reject(device.lastError ?? code)),
    () => device.scheduleBackups({ every: 1_000 }),
    () => device.fetchFile(message!),
    () => device.start(),
  ];
  for (const work of closed) {
    expect(await failureOf(work), String(work)).toMatchObject({ reason: 'CANCELLED' });
  }
  expect(await device.backupDatabase(null)).toBeNull();
  expect(device.lastError).toMatchObject({ reason: 'CANCELLED' });
});

test('a listener that fails breaks off nothing', async () => {
  await using app = new TestProcess([
    ...['--input-type=module', '-e'],
    `import { create } from '@bufbuild/protobuf';
     import { Device, RESTORE } from './clients/device/index.ts';
     import { MessageSchema } from './clients/gen/backscroll/history/v1/message_pb.ts';
     const [, database] = process.argv;
     const thrown = [];
     process.on('uncaughtException', (error) => thrown.push(error.message));
     const options = { database, user: 'alice', history: '127.0.0.1:1', backup: '127.0.0.1:1' };
     const device = await Device.open(options);
     device.on('message', ({ id }) => { throw new Error(id); });
     const messages = ['a', 'b'].map((id, n) =>
       create(MessageSchema, { seq: BigInt(n + 1), id, sender: 'bob', content: { text: id } }));
     const fresh = device.receive({ peer: 'bob' }, messages);
     await device.close();
     process.on('exit', () => console.log(JSON.stringify({ fresh, thrown })));`,
    harness.path(),
  ]);
  expect(await app.exited, app.stderr).toEqual({ code: 0, signal: null });
  expect(JSON.parse(app.stdout)).toEqual({ fresh: 2, thrown: ['a', 'b'] });
});

test.each([
  [{ database: '' }, 'database', 'MISSING_FIELD'],
  [{ history: 'nonsense' }, 'history'],
  [{ backup: 'localhost' }, 'backup'],
  [{ user: 'a\ud800' }, 'user'],
])(
  'no database is made, nor kept open, for %j',
  async (options, field, reason = 'INVALID_FIELD') => {
    const database = harness.path();
    const good = { database, user: 'alice', history: '127.0.0.1:1', backup: '127.0.0.1:1' };
    const refused = { code: 3, reason, fields: [{ field }] };
    await expect(Device.open({ ...good, ...options })).rejects.toMatchObject(refused);
    expect(existsSync(database)).toBe(false);
  },
);

test('a restore that fails before it begins leaves the device as it was', async () => {
  await using device = await harness.open('alice');
  expect(await device.restoreLatest({ signal: untyped('no signal') })).toBe(RESTORE.failed);
  device.append(bob, { content: { text: 'x' } });
  expect(device.counts(bob).waiting).toBe(1);
});

test('a session goes on behind the message of which its listener failed', async () => {
  await harness.chat(5);
  await using device = await harness.open('alice');
  const read: string[] = [];
  const session = device.readSession(bob, ({ text }) => {
    read.push(text);
    if (text === '4') throw new Error('no');
  });
  await expect(session.more(5)).rejects.toThrow('no');
  expect(session.read(5)).toBe(3);
  expect(read).toEqual(['5', '4', '3', '2', '1']);
});
