import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { create } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import type { Device, LocalConversation, SummaryOptions } from '../../clients/device/index.ts';
import { changeInboxState } from '../../clients/device/local/inbox-state.ts';
import {
  type GetProfilesRequest,
  HistoryVisibility,
} from '../../clients/gen/backscroll/history/v1/directory_pb.ts';
import type {
  Conversation,
  ListConversationsRequest,
} from '../../clients/gen/backscroll/history/v1/inbox_pb.ts';
import {
  CallKind,
  CallOutcome,
  MessageSchema,
} from '../../clients/gen/backscroll/history/v1/message_pb.ts';
import { settleLeftOver } from '../../services/history/domain/settle-pending.ts';
import { eventually } from '../support/eventually.ts';
import { Random } from '../support/random.ts';
import { harness, Reader, range, useHarness } from './device-harness.ts';

const bob = { peer: 'bob' };
const alice = { user: 'alice', peer: 'bob' };
const room = { group: 'room' };

useHarness();

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

/** Requests for the inbox that came through. */
function listings(): ListConversationsRequest[] {
  return harness.relay.calls
    .filter(({ method }) => method === 'listConversations')
    .map(({ request }) => request as ListConversationsRequest);
}

/** Breaks the answers to requests for the inbox from the one with this number on. */
function breakListingsFrom(first: number): void {
  let count = 0;
  harness.relay.watch = ({ method }) => {
    if (method === 'listConversations' && ++count >= first) throw new Error('broken off');
  };
}

/** Waits until the service has alice's mark. */
async function expectReadUpTo(seq: bigint): Promise<void> {
  await eventually(async () => {
    const { readSeq } = await harness.history.markRead({ ...alice, seq: 0 });
    expect(readSeq).toBe(seq);
  });
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
    await pairs(620);
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
    await say('p600', 'news');
    await harness.history.markRead({ user: 'alice', peer: 'p600', seq: 2 });
    await using device = await harness.open('alice', path);
    await device.refresh();
    await expectInbox(device);
    expect(inboxOf(device)).toHaveLength(620);
  });

  test('a process that is killed in the middle leaves what it had', async () => {
    await pairs(620);
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
    const { lastMessage, lastAtMs } = device.conversation(bob)!;
    expect(lastMessage).toMatchObject({ text: 'second', sentAtMs: lastAtMs });
    await device.refresh();
    await expectInbox(device);
  });
});

describe("what the user's other devices do", () => {
  test('reads, hides and deletions arrive, of messages that are held as well', async () => {
    await harness.chat(20);
    await say('carol', 'Hi');
    await using device = await harness.open('alice');
    await device.refresh();
    const reader = new Reader(device, bob);
    await reader.session.more(20);
    const told: string[] = [];
    device.on('conversation', (one) => told.push(nameOf(one)));

    await harness.history.markRead({ ...alice, seq: 20 });
    await harness.history.delete({ ...alice, scope: 'for-me', seqs: [20, 12] });
    await harness.history.delete({ ...alice, scope: 'for-me', upToSeq: 3 });
    await device.refresh();
    expect(told).toEqual(['bob']);
    const again = new Reader(device, bob);
    again.session.read(100);
    expect(again.seqs).toEqual(range(19, 4).filter((seq) => seq !== 12));
    expect(device.conversation(bob)).toMatchObject({
      unread: 0,
      marks: { readSeq: 20 },
      lastSeq: 20,
    });
    await expectInbox(device);
    harness.relay.calls.length = 0;
    expect(await again.session.more(10)).toBe(0);
    expect(harness.relay.fetched().size).toBe(0);
  });

  test('hides are learned of again where that broke off', async () => {
    await harness.chat(6);
    await using device = await harness.open('alice');
    await device.refresh();
    await new Reader(device, bob).session.more(6);
    await harness.history.delete({ ...alice, scope: 'for-me', seqs: [2] });
    harness.relay.watch = ({ method }) => {
      if (method === 'changes') throw new Error('broken off');
    };
    await expect(device.refresh()).rejects.toMatchObject({ reason: 'UNAVAILABLE' });
    harness.relay.watch = undefined;
    await device.refresh();
    const reader = new Reader(device, bob);
    reader.session.read(100);
    expect(reader.seqs).toEqual([6, 5, 4, 3, 1]);
  });

  test('a mark that is not sent yet is not lowered', async () => {
    await harness.chat(20);
    await using device = await harness.open('alice');
    await device.refresh();
    device.markRead(bob, 20);
    await harness.history.markRead({ ...alice, seq: 19 });
    await harness.say([{ sender: 'bob', content: { text: 'one more' } }]);
    await device.refresh();
    expect(device.conversation(bob)).toMatchObject({ marks: { readSeq: 20 }, unread: 1 });
    device.start();
    await expectReadUpTo(20n);
  });

  test('groups are joined and left, and joining anew voids what was known', async () => {
    const add = () => harness.directory.addMembers({ ...room, members: [{ user: 'alice' }] });
    const leave = () => harness.directory.removeMembers({ ...room, members: ['alice'] });
    const speak = (text: string) =>
      harness.history.append({ user: 'dave', ...room, messages: [{ content: { text } }] });
    await harness.directory.createGroup({
      ...{ user: 'dave', ...room, title: 'Room' },
      historyVisibility: HistoryVisibility.FROM_JOINING,
    });
    await speak('before');
    await using device = await harness.open('alice');
    await device.refresh();
    expect(inboxOf(device)).toEqual([]);

    await add();
    await device.refresh();
    expect(inboxOf(device)).toMatchObject([{ state: 'member', lastMessage: undefined, unread: 0 }]);
    await speak('hello');
    await device.refresh();
    expect(inboxOf(device)).toMatchObject([{ lastMessage: { seq: 2, text: 'hello' }, unread: 1 }]);
    await new Reader(device, room).session.more(10);

    await leave();
    await speak('behind her back');
    await harness.directory.updateGroup({ ...room, title: 'Another' });
    await device.refresh();
    expect(inboxOf(device)).toMatchObject([
      { state: 'former', title: 'Room', lastMessage: { seq: 2 }, lastSeq: 2 },
    ]);
    await expectInbox(device);

    const reader = new Reader(device, room);
    await reader.session.more(10);
    expect(reader.texts).toEqual(['hello']);
    await add();
    await speak('again');
    await device.refresh();
    await expectInbox(device);
    const back = new Reader(device, room);
    while ((await back.session.more(10)) > 0);
    expect(back.texts).toEqual(['again', 'hello']);
  });

  describe.each(['member', 'former'] as const)('a group that was deleted, of a %s', (state) => {
    let path: string;

    /** A device that holds messages of the group and of a pair. */
    async function opened(): Promise<Device> {
      const members = [{ user: 'alice' }];
      await harness.directory.createGroup({ user: 'dave', ...room, members });
      await harness.history.append({
        ...{ user: 'dave', ...room },
        messages: [{ content: { text: 'x' } }, { content: { text: 'y' } }],
      });
      await say('bob', 'Hi');
      path = harness.path();
      const device = await harness.open('alice', path);
      await device.refresh();
      await new Reader(device, room).session.more(10);
      if (state === 'former')
        await harness.directory.removeMembers({ ...room, members: ['alice'] });
      await device.refresh();
      await new Reader(device, room).session.more(10);
      expect(device.conversation(room)).toMatchObject({ state, lastMessage: { text: 'y' } });
      return device;
    }

    function expectLost(device: Device): void {
      expect(device.conversation(room)).toMatchObject({ state: 'gone', lastMessage: undefined });
      expect(inboxOf(device).map(nameOf)).toEqual(['bob']);
      expect(new Reader(device, room).session.read(10)).toBe(0);
      const store = harness.look('alice', path);
      const kinds =
        'SELECT DISTINCT kind FROM message JOIN conversation ON conversation.id = conversation_id';
      expect(store.sqlite.all(kinds)).toEqual([{ kind: 1 }]);
      store.sqlite.close();
    }

    test('is gone at the next refresh with all that was held of it, and stays so', async () => {
      await using device = await opened();
      const told: LocalConversation[] = [];
      device.on('conversation', (one) => told.push(one));
      await harness.directory.deleteGroup({ user: 'dave', ...room });
      await device.refresh();
      expect(told).toMatchObject([{ conversation: room, state: 'gone' }]);
      expectLost(device);
      for await (const _ of settleLeftOver(harness.service.replica.database));
      await device.refresh();
      expect(told).toHaveLength(1);
      expectLost(device);
      await expectInbox(device);
    });

    test.each([[[]], [['file']]] as const)(
      'stays gone, whatever comes late: kinds %j',
      async (kinds) => {
        await (await opened()).close();
        path = harness.path();
        await using late = await harness.open('alice', path);
        await late.refresh();
        const answer = harness.relay.hold(({ method }) => method === 'sync');
        const reading = new Reader(late, { ...room, kinds }).session.more(10);
        await answer.came;
        await harness.directory.deleteGroup(room);
        await late.refresh();
        expect(late.conversation(room)).toMatchObject({ state: 'gone' });
        answer.release();
        await expect(reading).rejects.toMatchObject({ reason: 'NOT_A_MEMBER' });
        const store = harness.look('alice', path);
        expect(store.holdsAny(store.conversation(room)!.id)).toBe(false);
        store.sqlite.close();
        expect(late.counts(room).stored).toBe(0);
      },
    );

    test('stays gone in both, when one of two processes had asked before', async () => {
      await using device = await opened();
      await using other = await harness.open('alice', path);
      await harness.history.append({
        ...room,
        user: 'dave',
        messages: [{ content: { text: '!' } }],
      });
      const answer = harness.relay.hold(({ method, request }) => {
        const { sinceUserRevision } = request as ListConversationsRequest;
        return method === 'listConversations' && sinceUserRevision === undefined;
      });
      const late = device.refresh();
      await answer.came;
      await harness.directory.deleteGroup(room);
      await other.refresh();
      expectLost(other);
      answer.release();
      await late;
      expectLost(device);
      await expectInbox(device);
    });

    test('is lost by a device that lost its place', async () => {
      await using device = await opened();
      await harness.directory.deleteGroup(room);
      const store = harness.look('alice', path);
      // As of a service that was set back.
      store.write(() => store.setFact('user_revision', 1_000_000));
      store.sqlite.close();
      await device.refresh();
      expectLost(device);
      await expectInbox(device);
    });
  });

  test('a group that was read and deleted before the inbox was listed is forgotten', async () => {
    await harness.directory.createGroup({ user: 'dave', ...room, members: [{ user: 'alice' }] });
    await harness.history.append({ user: 'dave', ...room, messages: [{ content: { text: 'x' } }] });
    await using device = await harness.open('alice');
    expect(await new Reader(device, room).session.more(10)).toBe(1);
    await harness.directory.deleteGroup(room);
    await device.refresh();
    expect(new Reader(device, room).session.read(10)).toBe(0);
    expect(inboxOf(device)).toEqual([]);
  });

  test('after an erasure all is listed anew, and what is lost is forgotten', async () => {
    await harness.chat(4);
    await say('carol', 'Hi');
    await using device = await harness.open('alice');
    await device.refresh();
    device.markRead({ peer: 'carol' });
    await new Reader(device, bob).session.more(10);
    await harness.history.markRead({ ...alice, seq: 4 });
    await device.refresh();
    await harness.directory.eraseUser('alice');
    await say('bob', 'Who are you?');
    await device.refresh();
    // What this device knows to have been read, it tells the service again.
    device.start();
    await expectReadUpTo(4n);
    await device.refresh();
    await expectInbox(device);
    expect(inboxOf(device).map(nameOf)).toEqual(['bob']);
    expect(new Reader(device, { peer: 'carol' }).session.read(10)).toBe(0);
    const reader = new Reader(device, bob);
    while ((await reader.session.more(10)) > 0);
    const { messages } = await harness.history.sync(alice).collect();
    expect(reader.messages.map(({ seq, sender, text }) => [seq, sender, text])).toEqual(
      messages.map(({ seq, sender, content }) => [Number(seq), sender, content?.text ?? '']),
    );
  });
});

describe('unread messages', () => {
  test('are counted by the service, and from there on here', async () => {
    const call = { kind: CallKind.VOICE, outcome: CallOutcome.ANSWERED };
    await harness.chat(10);
    await harness.say([
      { sender: 'bob', content: { text: 'a' } },
      { sender: 'bob', content: { call } },
    ]);
    await using device = await harness.open('alice');
    await device.refresh();
    const unread = () => device.conversation(bob)?.unread;
    // Alice's last own message is the ninth.
    expect(unread()).toBe(2);
    await harness.say([
      { sender: 'bob', content: { text: 'b' } },
      { sender: 'bob', content: { call: { ...call, outcome: CallOutcome.MISSED } } },
      { sender: 'bob', content: { call } },
    ]);
    const { messages } = await harness.history.sync({ ...alice, count: 3 }).collect();
    device.receive(bob, messages);
    expect(unread()).toBe(4);
    device.markRead(bob, 11);
    expect(unread()).toBe(2);
    await harness.history.markRead({ ...alice, seq: 14 });
    await device.refresh();
    expect(unread()).toBe(0);
    await expectInbox(device);
  });

  test('conversations that have them are read by themselves', async () => {
    const names = await pairs(30);
    for (const n of [3, 17, 28]) await say(names[n]!, 'news');
    await using device = await harness.open('alice');
    const inbox = new Inbox(device, { unread: true });
    expect(await inbox.session.more(10)).toBe(3);
    expect(inbox.names).toEqual(['p28', 'p17', 'p3']);
    expect(await inbox.session.more(10)).toBe(0);
    device.markRead({ peer: 'p17' });
    const again = new Inbox(device, { unread: true });
    expect(again.session.read(10)).toBe(2);
  });
});

describe('a summary session', () => {
  /** Page sizes of the requests for the inbox that came through. */
  function pageSizes(): number[] {
    return listings().map(({ pageSize }) => pageSize);
  }

  test('fetches no more than is asked for, and each conversation once', async () => {
    const names = await pairs(300);
    await using device = await harness.open('alice');
    const inbox = new Inbox(device);
    const told: number[] = [];
    expect(await inbox.session.sync(50, (readable) => told.push(readable))).toBe(50);
    expect(told).toEqual([50]);
    expect(pageSizes()).toEqual([50]);
    expect(inboxOf(device)).toHaveLength(50);
    expect(inbox.session.read(20)).toBe(20);
    expect(inbox.session.read(100)).toBe(30);
    expect(inbox.session.read(100)).toBe(0);
    const steps: number[] = [];
    do steps.push(await inbox.session.more(70));
    while (steps.at(-1)! > 0);
    expect(steps).toEqual([70, 70, 70, 40, 0]);
    expect(inbox.names).toEqual(names);
    expect(await inbox.session.sync(10)).toBe(0);
    // After the last come those once more that the service holds to have risen meanwhile.
    expect(pageSizes().slice(0, 5)).toEqual([50, 70, 70, 70, 70]);
    await expectInbox(device);
  });

  test('goes on where the last one stopped, also on a device that was opened again', async () => {
    const names = await pairs(300);
    const path = harness.path();
    {
      await using device = await harness.open('alice', path);
      await new Inbox(device).session.more(150);
    }
    harness.relay.calls.length = 0;
    await using device = await harness.open('alice', path);
    const inbox = new Inbox(device);
    expect(inbox.session.read(150)).toBe(150);
    expect(listings()).toEqual([]);
    expect(await inbox.session.more(50)).toBe(50);
    // What changed for the user, what is new from above, and the next page.
    expect(pageSizes()).toEqual([500, 50, 50]);
    while ((await inbox.session.more(50)) > 0);
    expect(inbox.names).toEqual(names);
    await expectInbox(device);
  });

  test('hands over what rises meanwhile, but nothing twice', async () => {
    const names = await pairs(300);
    await using device = await harness.open('alice');
    const inbox = new Inbox(device);
    await inbox.session.more(100);
    await say('p7', 'was read');
    await say('p150', 'was not read, nor fetched');
    await inbox.session.more(100);
    await say('p220', 'rises at the end');
    while ((await inbox.session.more(100)) > 0);
    expect(inbox.names.toSorted()).toEqual(names.toSorted());
    const last = inbox.conversations.find(({ conversation }) => conversation.peer === 'p220');
    expect(last?.lastMessage?.text).toBe('rises at the end');
    await device.refresh();
    await expectInbox(device);
  });

  test('what is new between a round that broke off and what was known is found', async () => {
    const names = await pairs(300);
    await using device = await harness.open('alice');
    await device.refresh();
    for (const name of names.slice(100, 220)) await say(name, 'news');
    const first = new Inbox(device);
    expect(await first.session.sync(50)).toBe(50);
    breakListingsFrom(1);
    await expect(first.session.sync(50)).rejects.toMatchObject({ reason: 'UNAVAILABLE' });
    harness.relay.watch = undefined;
    const second = new Inbox(device);
    for (let n = 0; n < 4; n++) await second.session.sync(50);
    await expectInbox(device);
  });

  test('two at once, and a refresh, do not get in one another’s way', async () => {
    const names = await pairs(300);
    await using device = await harness.open('alice');
    const [one, two] = [new Inbox(device), new Inbox(device)];
    const all = async ({ session }: Inbox, count: number) => {
      while ((await session.more(count)) > 0);
    };
    await Promise.all([all(one, 30), all(two, 70), device.refresh()]);
    expect(one.names.toSorted()).toEqual(names.toSorted());
    expect(two.names.toSorted()).toEqual(names.toSorted());
    await expectInbox(device);
  });

  test('lists anew where its place is none that the service knows', async () => {
    const names = await pairs(30);
    const path = harness.path();
    await using device = await harness.open('alice', path);
    await new Inbox(device).session.more(10);
    const store = harness.look('alice', path);
    store.write(() => changeInboxState(store, { rest: 'another version wrote it' }));
    store.sqlite.close();
    const inbox = new Inbox(device);
    while ((await inbox.session.more(10)) > 0);
    expect(inbox.names).toEqual(names);
    await expectInbox(device);
  });

  test('without a connection reads what is there, and fails with a reason', async () => {
    await pairs(5);
    await using device = await harness.open('alice');
    await device.refresh();
    harness.relay.isCut = true;
    const inbox = new Inbox(device);
    expect(inbox.session.read(10)).toBe(5);
    await expect(inbox.session.sync(10)).rejects.toMatchObject({ reason: 'UNAVAILABLE' });
  });
});

test('whatever breaks off and comes live, an inbox that was read to its end is the service’s', async () => {
  const names = await pairs(20);
  const random = new Random(6);
  const path = harness.path();
  let device = await harness.open('alice', path);
  let sentAtMs = 1_700_000_000_000n;
  const deeds: Record<string, (peer: string) => Promise<unknown>> = {
    say: (peer) => speak(peer, peer),
    answer: (peer) => speak(peer, 'alice'),
    read: (peer) => harness.history.markRead({ user: 'alice', peer, seq: 1_000 }),
    hide: async (peer) => {
      const { messages } = await newest(peer);
      const seqs = messages.map(({ seq }) => seq);
      if (seqs.length > 0) {
        await harness.history.delete({ user: 'alice', peer, scope: 'for-me', seqs });
      }
    },
    live: async (peer) => device.receive({ peer }, (await newest(peer)).messages),
    look: async () => {
      breakListingsFrom(random.between(2, 6));
      const { session } = new Inbox(device);
      const count = random.between(1, 3);
      await session
        .sync(count)
        .then(() => session.sync(count))
        .catch(() => {});
      harness.relay.watch = undefined;
    },
    reopen: async () => {
      await device.close();
      device = await harness.open('alice', path);
    },
  };
  const speak = (peer: string, sender: string) =>
    harness.say([{ sender, sentAtMs: ++sentAtMs, content: { text: `${sentAtMs}` } }], {
      ...{ user: 'alice', peer },
    });
  const newest = (peer: string) =>
    harness.history.sync({ user: 'alice', peer, count: 1 }).collect();
  for (let n = 1; n <= 300; n++) {
    await deeds[random.pick(Object.keys(deeds))]!(random.pick(names));
    if (n % 15 > 0) continue;
    const { session } = new Inbox(device);
    session.read(names.length);
    while ((await session.more(random.between(1, 3))) > 0);
    await expectInbox(device);
  }
  await device.close();
});

test('messages are removed when their time has come', async () => {
  await harness.chat(3);
  const path = harness.path();
  await using device = await harness.open('alice', path);
  await device.refresh();
  const expired = { id: 'gone', seq: 4n, sender: 'bob', expiresAtMs: BigInt(Date.now() - 1) };
  device.receive(bob, create(MessageSchema, expired));
  const store = harness.look('alice', path);
  const seqs = () =>
    store.sqlite.all<{ seq: number }>('SELECT seq FROM message').map(({ seq }) => seq);
  expect(seqs()).toEqual([3, 4]);
  await device.refresh();
  expect(seqs()).toEqual([3]);
  device.receive(bob, create(MessageSchema, { ...expired, seq: 5n }));
  device.start();
  await eventually(() => expect(seqs()).toEqual([3]));
  store.sqlite.close();
});

test('what waits to be sent stands in the inbox, also in a conversation that is new', async () => {
  const names = await pairs(5);
  await using device = await harness.open('alice');
  await device.refresh();
  device.append({ peer: 'zoe' }, { content: { text: 'Hi Zoe' } });
  device.append({ peer: 'p4' }, { content: { text: 'Still there?' } });
  const said = () =>
    inboxOf(device)
      .filter(({ lastMessage }) => lastMessage?.sender === 'alice')
      .map((one) => [nameOf(one), one.lastMessage?.text, one.lastMessage?.status])
      .toSorted();
  const waiting = (status: string) => [
    ['p4', 'Still there?', status],
    ['zoe', 'Hi Zoe', status],
  ];
  expect(said()).toEqual(waiting('outbox'));
  await device.refresh();
  expect(said()).toEqual(waiting('outbox'));
  expect(inboxOf(device).slice(0, 2).map(nameOf).toSorted()).toEqual(['p4', 'zoe']);
  await device.flush();
  expect(said()).toEqual(waiting('sent'));
  await device.refresh();
  await expectInbox(device);
  expect(inboxOf(device)).toHaveLength(names.length + 1);
});

describe('profiles', () => {
  test('of who was erased are shown no more, until they have one again', async () => {
    await harness.directory.putProfiles([{ user: 'bob', displayName: 'Bob' }]);
    await using device = await harness.open('alice');
    await device.refreshProfiles(['bob', 'carol']);
    expect(device.profile('bob')).toMatchObject({ displayName: 'Bob' });
    await harness.directory.eraseUser('bob');
    expect(await device.refreshProfiles(['bob', 'carol'])).toEqual([]);
    expect(device.profile('bob')).toBeUndefined();
    await harness.directory.putProfiles([{ user: 'bob', displayName: 'Robert' }]);
    expect(await device.refreshProfiles(['bob', 'carol'])).toHaveLength(1);
    expect(device.profile('bob')).toMatchObject({ displayName: 'Robert' });
  });

  /** Requests for profiles that came through: of how many users, since when. */
  function asked(): [users: number, sinceMs: number][] {
    return harness.relay.calls
      .filter(({ method }) => method === 'getProfiles')
      .map(({ request }) => request as GetProfilesRequest)
      .map(({ users, changedSinceMs }) => [users.length, Number(changedSinceMs)]);
  }

  test('are fetched in batches, kept, and asked for again only since then', async () => {
    const users = range(1, 1_100).map((n) => `user-${n}`);
    const profiles = users.slice(0, 1_000).map((user) => ({
      ...{ user, displayName: user.toUpperCase(), avatarUrl: `https://files.example/${user}` },
      attributes: { city: 'Paris' },
    }));
    for (let n = 0; n < 1_000; n += 500) {
      await harness.directory.putProfiles(profiles.slice(n, n + 500));
    }
    const path = harness.path();
    {
      await using device = await harness.open('alice', path);
      expect(device.profile('user-1')).toBeUndefined();
      const found = await device.refreshProfiles([...users, ...users]);
      expect(found.map(({ user }) => user).toSorted()).toEqual(users.slice(0, 1_000).toSorted());
      expect(asked()).toEqual([
        [500, 0],
        [500, 0],
        [100, 0],
      ]);
    }
    await using device = await harness.open('alice', path);
    expect(device.profile('user-1000')).toMatchObject(profiles[999]!);
    expect(device.profile('user-1001')).toBeUndefined();
    const store = harness.look('alice', path);
    const writes = store.fact('writes');
    expect(await device.refreshProfiles(users)).toEqual([]);
    expect(
      asked()
        .slice(3)
        .every(([, sinceMs]) => sinceMs > 0),
    ).toBe(true);
    expect(store.fact('writes')).toBe(writes);
    store.sqlite.close();

    await harness.directory.putProfiles([
      { user: 'user-7', displayName: 'Seven' },
      { user: 'user-1050', displayName: 'Late' },
    ]);
    const changed = await device.refreshProfiles(users);
    expect(changed.map(({ displayName }) => displayName).toSorted()).toEqual(['Late', 'Seven']);
    expect(device.profile('user-7')).toMatchObject({ displayName: 'Seven', attributes: {} });
    expect(device.profile('user-1050')).toMatchObject({ displayName: 'Late' });
  });

  test('are fetched in smaller batches where they are large', async () => {
    const attributes = Object.fromEntries(range(1, 64).map((n) => [`${n}`, 'x'.repeat(4_096)]));
    const users = range(1, 20).map((n) => `user-${n}`);
    for (const user of users) await harness.directory.putProfiles([{ user, attributes }]);
    await using device = await harness.open('alice');
    expect(await device.refreshProfiles(users)).toHaveLength(20);
    for (const user of users) expect(device.profile(user)?.attributes).toEqual(attributes);
    expect(asked().map(([count]) => count)).toEqual([20, 10, 10]);
  });
});
