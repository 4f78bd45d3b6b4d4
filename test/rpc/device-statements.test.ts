import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { Sqlite } from '../../clients/device/local/sqlite.ts';
import { CallKind, CallOutcome } from '../../clients/gen/backscroll/history/v1/message_pb.ts';
import { DeviceHarness, Reader } from './device-harness.ts';

const bob = { peer: 'bob' };

let harness: DeviceHarness;
let path = '';
/** Statements that the device sent, each once. */
const sent = new Set<string>();

beforeAll(async () => {
  harness = await DeviceHarness.start();
  path = harness.path();
  const { prepare } = DatabaseSync.prototype;
  vi.spyOn(DatabaseSync.prototype, 'prepare').mockImplementation(function (
    this: DatabaseSync,
    sql,
  ) {
    // The service has a database of its own in this process.
    if (this.location() === path) sent.add(sql);
    return prepare.call(this, sql);
  });
  await useEverything();
  vi.restoreAllMocks();
});
afterAll(() => harness[Symbol.asyncDispose]());

/** All ways to read, fetch and correct messages. */
async function useEverything(): Promise<void> {
  await harness.chat(50);
  await harness.say([
    { sender: 'bob', content: { files: [{ url: 'https://files.example/1' }] } },
    { sender: 'bob', content: { text: 'in it', thread: 'T' } },
    {
      sender: 'bob',
      content: { call: { kind: CallKind.VOICE, outcome: CallOutcome.MISSED } },
    },
  ]);
  await using device = await harness.open('alice', path);
  await device.refresh();
  for (const order of ['newest-first', 'oldest-first'] as const) {
    for (const filter of [
      ...(['file', 'call', 'missed-call', 'text'] as const).map((kind) => ({ kinds: [kind] })),
      ...[{ thread: 'T' }, { unread: true, receipts: true }, { acrossHoles: true }, {}],
    ]) {
      const { session } = new Reader(device, { ...bob, ...filter, order });
      while ((await session.more(20)) > 0);
    }
  }
  const alice = { user: 'alice', ...bob };
  const { messages } = await harness.history.sync(alice).collect();
  device.receive(bob, messages);
  await harness.history.edit({ ...alice, seq: 1, content: { text: 'edited' } });
  await harness.history.delete({ ...alice, scope: 'for-me', seqs: [2] });
  await new Reader(device, bob).session.sync(0);
  await harness.history.delete({ ...alice, scope: 'for-me', upToSeq: 5 });
  await device.refresh();
  device.counts(bob);
}

/** How SQLite would do a statement, line by line. */
function planOf(sqlite: Sqlite, sql: string): string[] {
  return sqlite.all<{ detail: string }>(`EXPLAIN QUERY PLAN ${sql}`).map(({ detail }) => detail);
}

test('no statement about messages reads more than it gives, or sorts', () => {
  using sqlite = new Sqlite(path);
  const about = [...sent].filter((sql) => /\b(message|known)\b/.test(sql) && !/^PRAGMA/.test(sql));
  expect(about.length).toBeGreaterThan(15);
  const faults = about.flatMap((sql) =>
    planOf(sqlite, sql)
      .filter((line) => /\bSCAN (message|known)\b|TEMP B-TREE/.test(line))
      .map((line) => `${line}: ${sql}`),
  );
  expect(faults).toEqual([]);
});

test('what is rare is found by its own index', () => {
  using sqlite = new Sqlite(path);
  const plans = [...sent]
    .filter((sql) => sql.includes('ORDER BY seq'))
    .map((sql) => planOf(sqlite, sql));
  for (const index of ['message_file', 'message_call', 'message_thread']) {
    expect(plans.flat().filter((line) => line.includes(index))).not.toEqual([]);
  }
  expect(plans.flat().filter((line) => line.includes('PRIMARY KEY'))).not.toEqual([]);
});
