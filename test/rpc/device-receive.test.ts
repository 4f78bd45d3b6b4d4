import { create } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import type { Device, LocalMessage } from '../../clients/device/index.ts';
import {
  ContentSchema,
  type Message,
  MessageSchema,
} from '../../clients/gen/backscroll/history/v1/message_pb.ts';
import { eventually } from '../support/eventually.ts';
import { harness, Reader, range, useHarness } from './device-harness.ts';

const bob = { peer: 'bob' };

useHarness();

/** Messages of alice and bob as the service has them, in their order. */
async function messages(): Promise<Message[]> {
  const page = harness.history.sync({ user: 'alice', ...bob, order: 'oldest-first' });
  const all: Message[] = [];
  for await (const frame of page.frames()) all.push(...frame);
  return all;
}

test('what arrives is told once, is read without a connection, and counts as delivered', async () => {
  await harness.chat(4);
  await using device = await harness.open('alice');
  const told: LocalMessage[] = [];
  device.on('message', (message) => told.push(message));
  const [one, two, three, four] = await messages();
  expect(device.receive(bob, [one!, two!, two!])).toBe(2);
  expect(device.receive(bob, [two!, three!, four!])).toBe(2);
  expect(device.receive(bob, [])).toBe(0);
  expect(told.map(({ seq, text, status, origin }) => [seq, text, status, origin])).toEqual([
    [1, '1', 'sent', 'live'],
    [2, '2', 'received', 'live'],
    [3, '3', 'sent', 'live'],
    [4, '4', 'received', 'live'],
  ]);
  expect(device.counts(bob)).toEqual({ stored: 4, unread: 2, waiting: 0 });
  const reader = new Reader(device, bob);
  expect(reader.session.read(10)).toBe(4);
  expect(reader.messages.map(({ origin }) => origin)).toEqual(Array(4).fill('database'));
  expect(harness.relay.calls).toEqual([]);

  device.start();
  const marks = () => harness.relay.calls.map(({ method }) => method);
  await eventually(() => expect(marks()).toEqual(['markDelivered']));
});

test('of several versions the newest is told, once, and none whose time has come', async () => {
  await harness.chat(3);
  const [held] = await messages();
  await using device = await harness.open('alice');
  device.receive(bob, held!);
  const told: unknown[] = [];
  device.on('message', ({ seq, text }) => told.push([seq, text]));
  const version = (revision: bigint, fields = {}) => ({
    ...{ ...held!, revision, content: create(ContentSchema, { text: `${revision}` }) },
    ...fields,
  });
  expect(device.receive(bob, [version(5n), version(4n)])).toBe(1);
  expect(device.receive(bob, version(6n, { expiresAtMs: 1n }))).toBe(0);
  const other = { seq: 9n, id: 'other' };
  expect(device.receive(bob, [version(9n, other), version(8n, other)])).toBe(1);
  expect(told).toEqual([
    [1, '5'],
    [9, '9'],
  ]);
  const beyond = expect.objectContaining({ reason: 'INVALID_FIELD' });
  expect(() => device.receive(bob, version(7n, { seq: 2n ** 60n }))).toThrow(beyond);
});

test('a newer version of what is held takes its place, and an older one does not', async () => {
  await harness.chat(2);
  const before = await messages();
  await harness.history.edit({ user: 'bob', peer: 'alice', seq: 2, content: { text: 'two' } });
  const after = await messages();
  await using device = await harness.open('alice');
  const told: unknown[] = [];
  device.on('message', ({ text }) => told.push(text));
  expect(device.receive(bob, before)).toBe(2);
  expect(device.receive(bob, after)).toBe(1);
  for (const late of [before, after]) expect(device.receive(bob, late)).toBe(0);
  expect(told).toEqual(['1', '2', 'two']);
  const reader = new Reader(device, bob);
  reader.session.read(10);
  expect(reader.texts).toEqual(['two', '1']);
});

test('nothing is put in where a message has no seq', async () => {
  await harness.chat(2);
  await using device = await harness.open('alice');
  const some = [...(await messages()), create(MessageSchema, { content: { text: 'nowhere' } })];
  expect(() => device.receive(bob, some)).toThrow(
    expect.objectContaining({
      code: 3,
      fields: [expect.objectContaining({ field: 'messages[2].seq' })],
    }),
  );
  expect(device.counts(bob).stored).toBe(0);
});

test('what the device said itself, and hears of before its answer, stands there once', async () => {
  await using device = await harness.open('alice');
  harness.relay.watch = async ({ method }) => {
    if (method === 'append') device.receive(bob, await messages());
  };
  for (const n of range(1, 3)) device.append(bob, { content: { text: `${n}` } });
  device.start();
  await eventually(() => expect(device.counts(bob)).toMatchObject({ stored: 3, waiting: 0 }));
  const reader = new Reader(device, { ...bob, order: 'oldest-first' });
  expect(reader.session.read(10)).toBe(3);
  expect(reader.texts).toEqual(['1', '2', '3']);
});

test('one whose time has come when it arrives is not told, and not new', async () => {
  await using device = await harness.open('alice');
  const told: LocalMessage[] = [];
  device.on('message', (message) => told.push(message));
  const late = create(MessageSchema, { seq: 1n, id: 'a', sender: 'bob', expiresAtMs: 1n });
  const fresh = create(MessageSchema, { seq: 2n, id: 'b', sender: 'bob', sentAtMs: 5n });
  expect(device.receive(bob, [late, fresh])).toBe(1);
  expect(told.map(({ id }) => id)).toEqual(['b']);
  expect(device.counts(bob).stored).toBe(1);
});

test('a conversation that was only read tells the time of its newest message', async () => {
  await harness.chat(2);
  await using device = await harness.open('alice');
  await device.readSession(bob, () => {}).more(10);
  expect(device.conversation(bob)).toMatchObject({ lastSeq: 2, lastAtMs: 1_700_000_000_001 });
});

test('what comes of a group that was deleted comes too late', async () => {
  const crew = { group: 'crew' };
  await harness.directory.createGroup({ ...crew, members: [{ user: 'alice' }, { user: 'bob' }] });
  await harness.say([{ sender: 'bob', content: { text: 'one' } }], crew);
  await using device = await harness.open('alice');
  await device.refresh();
  const push = create(MessageSchema, { seq: 2n, id: 'late', sender: 'bob' });
  await harness.directory.deleteGroup(crew);
  await device.refresh();
  expect(device.receive(crew, push)).toBe(0);
  expect(device.conversation(crew)).toMatchObject({ state: 'gone', lastMessage: undefined });
  expect(device.counts(crew).stored).toBe(0);
});

test('what comes of a group that the user is not in is gone with the next refresh', async () => {
  const crew = { group: 'crew' };
  await harness.directory.createGroup({ ...crew, members: [{ user: 'bob' }] });
  await using device = await harness.open('alice');
  await device.refresh();
  const push = create(MessageSchema, { seq: 2n, id: 'astray', sender: 'bob' });
  for (const name of [crew, { group: 'nobody knows it' }]) {
    expect(device.receive(name, push)).toBe(1);
    await device.refresh();
    expect(device.counts(name).stored).toBe(0);
    expect(await read(device)).toEqual([]);
  }
  // One that comes before the group is told of stays.
  await harness.say([{ sender: 'bob', id: 'early', content: { text: 'hi' } }], crew);
  await harness.directory.addMembers({ ...crew, members: [{ user: 'alice' }] });
  device.receive(crew, create(MessageSchema, { seq: 1n, id: 'early', sender: 'bob' }));
  await device.refresh();
  expect(await read(device)).toEqual([crew]);
});

/** The inbox of a device as it stands. */
async function read(device: Device): Promise<unknown[]> {
  const names: unknown[] = [];
  device.readSummary(({ conversation }) => names.push(conversation)).read(10);
  return names;
}
