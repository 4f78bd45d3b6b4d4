import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import type { Device, LocalConversation, SummaryOptions } from '../../clients/device/index.ts';
import type { Conversation } from '../../clients/gen/backscroll/history/v1/inbox_pb.ts';
import { DeviceHarness, Reader, range } from './device-harness.ts';

const bob = { peer: 'bob' };
const alice = { user: 'alice', peer: 'bob' };
const room = { group: 'room' };

let harness: DeviceHarness;
beforeEach(async () => {
  await harness?.[Symbol.asyncDispose]();
  harness = await DeviceHarness.start();
});
afterAll(() => harness[Symbol.asyncDispose]());

/** A summary session that keeps what it is handed. */
class Inbox {
  readonly session: ReturnType<Device['readSummary']>;
  readonly conversations: LocalConversation[] = [];

  constructor(device: Device, options?: SummaryOptions) {
    this.session = device.readSummary((one) => this.conversations.push(one), options);
  }

  get names(): string[] {
    return this.conversations.map(nameOf);
  }
}

function nameOf({ conversation }: LocalConversation): string {
  return conversation.peer ?? conversation.group;
}

/** All that a device's database has of the inbox. */
function inboxOf(device: Device): LocalConversation[] {
  const inbox = new Inbox(device);
  inbox.session.read(1_000_000);
  return inbox.conversations;
}

/** Breaks the answers to requests for the inbox from the one with this number on. */
function breakListingsFrom(first: number): void {
  let count = 0;
  harness.relay.watch = ({ method }) => {
    if (method === 'listConversations' && ++count >= first) throw new Error('broken off');
  };
}

/** Holds the device's inbox to the service's. */
async function expectInbox(device: Device, user = 'alice'): Promise<void> {
  const { conversations } = await harness.history.inbox({ user, pageSize: 1_000 }).collect();
  const told = new Map(conversations.map((one) => [one.conversation.value, asTold(one)]));
  const local = inboxOf(device);
  expect(Object.fromEntries(local.map((one) => [nameOf(one), asLocal(one)]))).toEqual(
    Object.fromEntries(told),
  );
  const times = local.map(({ lastAtMs }) => lastAtMs);
  expect(times).toEqual(times.toSorted((a, b) => b - a));
}

function asTold({
  title,
  state,
  lastMessage,
  unreadCount,
  marks,
  peerMarks,
  lastSeq,
}: Conversation) {
  return {
    title,
    state: ['pair', 'member', 'former', 'gone'][state],
    last: lastMessage && [Number(lastMessage.seq), lastMessage.content?.text ?? ''],
    unread: unreadCount,
    readSeq: Number(marks?.readSeq),
    peerReadSeq: Number(peerMarks?.readSeq ?? 0),
    lastSeq: Number(lastSeq),
  };
}

function asLocal(one: LocalConversation) {
  const { title, state, lastMessage, unread, marks, peerMarks, lastSeq } = one;
  return {
    ...{ title, state, unread, lastSeq },
    last: lastMessage && [lastMessage.seq, lastMessage.text],
    readSeq: marks.readSeq,
    peerReadSeq: peerMarks.readSeq,
  };
}

/** As many pairs of alice's, `p0` with the newest message and so on. */
async function pairs(count: number): Promise<string[]> {
  const names = Array.from({ length: count }, (_, n) => `p${n}`);
  const runs = names.map((peer, n) => ({
    ...{ user: 'alice', peer },
    messages: [
      { id: '1', sender: peer, sentAtMs: 1_700_000_000_000n - BigInt(n), content: { text: peer } },
    ],
  }));
  const batches = [];
  for (let n = 0; n < count; n += 64) batches.push({ runs: runs.slice(n, n + 64) });
  for await (const _ of harness.history.import(batches));
  return names;
}

async function say(peer: string, text: string): Promise<void> {
  await harness.say([{ sender: peer, content: { text } }], { user: 'alice', peer });
}

describe('refresh', () => {
  test('a new device learns of all conversations, and reads them newest first', async () => {
    await harness.chat(9);
    await say('carol', 'Hi');
    await harness.directory.createGroup({
      ...{ user: 'dave', group: 'room', title: 'Room', members: [{ user: 'alice' }] },
    });
    await harness.history.append({
      ...{ user: 'dave', ...room, messages: [{ content: { text: 'Welcome' } }] },
    });
    await harness.history.markRead({ user: 'bob', peer: 'alice', seq: 5 });
    await using device = await harness.open('alice');
    const before = new Inbox(device);
    expect(before.session.read(10)).toBe(0);
    await device.refresh();
    expect(before.session.read(10)).toBe(3);
    expect(before.names).toEqual(['room', 'carol', 'bob']);
    const [first, second, third] = before.conversations;
    expect(first).toMatchObject({ title: 'Room', state: 'member', unread: 1, lastSeq: 1 });
    expect(first!.lastMessage).toMatchObject({ seq: 1, text: 'Welcome', origin: 'database' });
    expect(second).toMatchObject({ state: 'pair', unread: 1 });
    // Alice's own ninth message is the last: she has read all.
    expect(third).toMatchObject({ unread: 0, peerMarks: { readSeq: 8 } });
    expect(third!.lastMessage).toMatchObject({ seq: 9, status: 'sent' });
    await expectInbox(device);
  });

  test('changes nothing where nothing is new, and asks but twice', async () => {
    await harness.chat(5);
    await say('carol', 'Hi');
    const path = harness.path();
    await using device = await harness.open('alice', path);
    await device.refresh();
    const store = harness.look('alice', path);
    const writes = store.fact('writes');
    const told: LocalConversation[] = [];
    device.on('conversation', (one) => told.push(one));
    harness.relay.calls.length = 0;
    await device.refresh();
    expect(harness.relay.calls.map(({ method }) => method)).toEqual([
      'listConversations',
      'listConversations',
    ]);
    expect(store.fact('writes')).toBe(writes);
    expect(told).toEqual([]);
    store.sqlite.close();
  });

  test('the last message of each is held, and the rest is fetched around it', async () => {
    await harness.chat(30);
    await using device = await harness.open('alice');
    await device.refresh();
    const reader = new Reader(device, bob);
    expect(reader.session.read(10)).toBe(1);
    while ((await reader.session.more(10)) > 0);
    expect(reader.seqs).toEqual(range(30, 1));
    expect(harness.relay.fetched().has(30)).toBe(false);
  });

  test('tells what is new, once, by the event', async () => {
    await harness.chat(3);
    await say('carol', 'Hi');
    await using device = await harness.open('alice');
    await device.refresh();
    const told: string[] = [];
    device.on('conversation', (one) => told.push(`${nameOf(one)}: ${one.lastMessage?.text}`));
    await say('carol', 'Are you there?');
    await harness.history.edit({ ...alice, seq: 3, content: { text: 'third' } });
    await device.refresh();
    expect(told.sort()).toEqual(['bob: third', 'carol: Are you there?']);
    await expectInbox(device);
  });

  test('an inbox of several pages breaks off, and is gone on with', async () => {
    await pairs(1_100);
    const path = harness.path();
    {
      await using device = await harness.open('alice', path);
      breakListingsFrom(2);
      await expect(device.refresh()).rejects.toMatchObject({ reason: 'UNAVAILABLE' });
      expect(inboxOf(device)).toHaveLength(500);
    }
    harness.relay.watch = undefined;
    // One of those that came, and one that did not.
    await say('p3', 'news');
    await say('p700', 'news');
    await harness.history.markRead({ user: 'alice', peer: 'p700', seq: 2 });
    await using device = await harness.open('alice', path);
    await device.refresh();
    await expectInbox(device);
    expect(inboxOf(device)).toHaveLength(1_100);
  });

  test('a process that is killed in the middle leaves what it had', async () => {
    await pairs(1_100);
    const path = harness.path();
    const script = fileURLToPath(new URL('../support/device-refresher.ts', import.meta.url));
    const held = Promise.withResolvers<void>();
    let count = 0;
    harness.relay.watch = async ({ method }) => {
      if (method !== 'listConversations' || ++count < 2) return;
      held.resolve();
      await new Promise(() => {});
    };
    const child = spawn(process.execPath, [script, path, harness.relay.address], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    await held.promise;
    child.kill('SIGKILL');
    await once(child, 'exit');
    harness.relay.watch = undefined;
    await using device = await harness.open('alice', path);
    expect(inboxOf(device)).toHaveLength(500);
    await device.refresh();
    await expectInbox(device);
  });

  test('is not taken back by an answer that is older than what came live', async () => {
    await harness.chat(4);
    await using device = await harness.open('alice');
    await device.refresh();
    await say('bob', 'first');
    harness.relay.watch = async ({ method }) => {
      if (method !== 'listConversations') return;
      harness.relay.watch = undefined;
      await say('bob', 'second');
      const { messages } = await harness.history.sync({ ...alice, count: 1 }).collect();
      device.receive(bob, messages);
    };
    await device.refresh();
    expect(device.conversation(bob)).toMatchObject({ lastSeq: 6, unread: 3 });
    expect(device.conversation(bob)?.lastMessage?.text).toBe('second');
    await device.refresh();
    await expectInbox(device);
  });
});
