import { expect, test } from 'vitest';
import { Device } from '../../clients/device/index.ts';
import { BreakingProxy } from '../contract/backup/breaking-proxy.ts';
import { eventually } from '../support/eventually.ts';
import { TestProcess } from '../support/processes.ts';
import { Random } from '../support/random.ts';
import { harness, Reader, range, useHarness } from './device-harness.ts';

const bob = { peer: 'bob' };
const room = { group: 'room' };

useHarness();

/** Ids of what the service has of a conversation of alice's, in its order. */
async function stored(conversation: { peer: string } | { group: string }): Promise<string[]> {
  const page = harness.history.sync({
    ...{ user: 'alice', ...conversation, count: 100_000, order: 'oldest-first' },
  });
  const ids: string[] = [];
  for await (const frame of page.frames()) ids.push(...frame.map(({ id }) => id));
  return ids;
}

/** Ids and seqs of what a device reads without a connection, in its order. */
function held(device: Device, conversation: { peer: string } | { group: string }) {
  const reader = new Reader(device, { ...conversation, order: 'oldest-first' });
  reader.session.read(100_000);
  return reader.messages.map(({ id, seq }) => [id, seq]);
}

/** Kills a sender at some moment, and tells the last number that it put into the outbox. */
async function killAtRandom(random: Random, database: string, from: number): Promise<number> {
  await using sender = new TestProcess([
    ...['test/support/device-sender.ts', database, harness.relay.address, `${from}`],
  ]);
  let left = random.between(1, 20);
  const count = () => {
    left -= 1;
    if (left === 0) sender.child.kill('SIGKILL');
  };
  // When it has put some in, or when the service has some, and before the answer comes.
  if (random.oneIn(2)) sender.child.stdout?.on('data', count);
  else harness.relay.watch = count;
  await sender.exited;
  harness.relay.watch = undefined;
  const lines = sender.stdout.split('\n').filter(Boolean);
  return lines.length === 0 ? from - 1 : Number(lines.at(-1));
}

test('nothing is lost, doubled or out of order, whenever the process is killed', async () => {
  const random = new Random(7);
  const database = harness.path();
  let last = 0;
  for (const _ of range(1, 8)) last = await killAtRandom(random, database, last + 1);
  // This one ends by itself.
  await using sender = new TestProcess([
    ...['test/support/device-sender.ts', database, harness.relay.address],
    ...[`${last + 1}`, `${last + 10}`],
  ]);
  expect(await sender.exited, sender.stderr).toEqual({ code: 0, signal: null });

  await using device = await harness.open('alice', database);
  for (const [conversation, rest] of [
    [bob, 0],
    [room, 1],
  ] as const) {
    const ids = range(1, last + 10).filter((n) => n % 2 === rest);
    expect(await stored(conversation)).toEqual(ids.map(String));
    expect(held(device, conversation)).toEqual(ids.map((id, n) => [`${id}`, n + 1]));
  }
}, 120_000);

test('a connection that breaks again and again loses and doubles nothing', async () => {
  const [host = '', port] = harness.service.server.address.split(':');
  await using proxy = await BreakingProxy.start(host, Number(port));
  await using device = await Device.open({
    ...{ database: harness.path(), user: 'alice', backup: '127.0.0.1:1' },
    history: `127.0.0.1:${proxy.port}`,
  });
  proxy.resetAfterBytes = 3_000;
  for (const n of range(1, 400)) device.append(bob, { id: `${n}`, content: { text: `${n}` } });
  device.start();
  await eventually(() => expect(proxy.troubled).toBeGreaterThan(3));
  proxy.resetAfterBytes = Infinity;
  proxy.trouble = 'answers lost';
  const before = proxy.troubled;
  await eventually(() => expect(proxy.troubled).toBeGreaterThan(before + 3));
  proxy.trouble = 'none';
  await eventually(() => expect(device.counts(bob).waiting).toBe(0));
  expect(await stored(bob)).toEqual(range(1, 400).map(String));
  expect(held(device, bob)).toEqual(range(1, 400).map((n) => [`${n}`, n]));
}, 120_000);
