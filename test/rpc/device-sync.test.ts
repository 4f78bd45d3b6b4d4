import { describe, expect, test } from 'vitest';
import { HistoryVisibility, Role } from '../../clients/gen/backscroll/history/v1/directory_pb.ts';
import {
  CallKind,
  CallOutcome,
  type Message,
} from '../../clients/gen/backscroll/history/v1/message_pb.ts';
import type { MessageInit } from '../../clients/history/history-requests.ts';
import { eventually } from '../support/eventually.ts';
import { harness, Reader, range, useHarness } from './device-harness.ts';

const bob = { peer: 'bob' };
const alice = { user: 'alice', peer: 'bob' };
const room = { group: 'room' };

useHarness();

/** Each of these came by a page, and once; nothing else did. */
function fetchedOnce(seqs: readonly number[]): void {
  const fetched = harness.relay.fetched();
  expect([...fetched.keys()].sort((a, b) => a - b)).toEqual(seqs.toSorted((a, b) => a - b));
  expect([...fetched].filter(([, times]) => times > 1)).toEqual([]);
}

/** Messages as the service has them. */
async function stored(...seqs: number[]): Promise<Message[]> {
  const { messages } = await harness.history
    .sync({ ...alice, afterSeq: 0, order: 'oldest-first', count: 10_000 })
    .collect();
  return messages.filter(({ seq }) => seqs.includes(Number(seq)));
}

/** Changes what the service has stored. */
async function alter(sql: string): Promise<void> {
  const { database } = harness.service.replica;
  await database.run((session) => session.write(sql, []), AbortSignal.timeout(60_000));
}

describe('scrolling up', () => {
  test('a new device reads nothing, syncs 100, reads them, and comes to the beginning', async () => {
    await harness.chat(250);
    await using device = await harness.open('alice');
    const reader = new Reader(device, bob);
    const { session } = reader;
    expect(session.read(100)).toBe(0);
    const told: number[] = [];
    expect(await session.sync(100, (readable) => told.push(readable))).toBe(100);
    expect(told).toEqual([100]);
    expect(session.read(100)).toBe(100);
    expect(reader.seqs).toEqual(range(250, 151));
    expect(session.read(100)).toBe(0);

    expect(await session.sync(100)).toBe(100);
    expect(session.read(100)).toBe(100);
    expect(await session.sync(100)).toBe(50);
    expect(session.read(100)).toBe(50);
    expect(await session.sync(100)).toBe(0);
    expect(session.read(100)).toBe(0);
    expect(reader.seqs).toEqual(range(250, 1));
    fetchedOnce(range(1, 250));
  });

  test('more reads and fetches in one step', async () => {
    await harness.chat(120);
    await using device = await harness.open('alice');
    const reader = new Reader(device, bob);
    const steps: number[] = [];
    do steps.push(await reader.session.more(50));
    while (steps.at(-1)! > 0);
    expect(steps).toEqual([50, 50, 20, 0]);
    expect(reader.seqs).toEqual(range(120, 1));
    fetchedOnce(range(1, 120));
  });

  test('a conversation without messages ends at once, and so does one with a stranger', async () => {
    await using device = await harness.open('alice');
    for (const order of ['newest-first', 'oldest-first'] as const) {
      const { session } = new Reader(device, { ...bob, order });
      expect(await session.more(10)).toBe(0);
      expect(await session.sync(10)).toBe(0);
    }
  });

  test('what came since is fetched before what is held, by a session that has read nothing', async () => {
    await harness.chat(40);
    const path = harness.path();
    {
      await using device = await harness.open('alice', path);
      expect(await new Reader(device, bob).session.more(40)).toBe(40);
    }
    await harness.say([{ sender: 'bob', content: { text: 'new' } }]);
    await using device = await harness.open('alice', path);
    const reader = new Reader(device, bob);
    expect(await reader.session.sync(10)).toBe(10);
    expect(reader.session.read(10)).toBe(10);
    expect(reader.texts[0]).toBe('new');
    expect(reader.seqs).toEqual(range(41, 32));
    fetchedOnce(range(1, 41));
  });

  test('the oldest come first where it is asked for, and the end is looked at each time', async () => {
    await harness.chat(30);
    await using device = await harness.open('alice');
    const reader = new Reader(device, { ...bob, order: 'oldest-first' });
    expect(await reader.session.more(20)).toBe(20);
    expect(await reader.session.more(20)).toBe(10);
    expect(await reader.session.more(20)).toBe(0);
    await harness.say([{ sender: 'bob', content: { text: 'later' } }]);
    expect(await reader.session.more(20)).toBe(1);
    expect(reader.seqs).toEqual(range(1, 31));
    fetchedOnce(range(1, 31));
  });
});

test('at the end of what is held, sync learns what has changed and what is new', async () => {
  await harness.chat(5);
  await using device = await harness.open('alice');
  await new Reader(device, bob).session.more(10);
  await harness.say([6, 7].map((n) => ({ sender: 'bob', content: { text: `${n}` } })));
  await harness.history.edit({ user: 'bob', peer: 'alice', seq: 2, content: { text: 'edited' } });
  const told: unknown[] = [];
  device.on('conversation', ({ lastSeq }) => told.push(lastSeq));
  const { session } = new Reader(device, bob);
  expect(session.read(100)).toBe(5);
  expect(await session.sync(95)).toBe(0);
  expect(told).toEqual([7]);
  harness.relay.isCut = true;
  const next = new Reader(device, bob);
  expect(next.session.read(100)).toBe(7);
  expect(next.texts).toEqual(['7', '6', '5', '4', '3', 'edited', '1']);
});

test('at the end, sync learns what is new also in a session that fetched before', async () => {
  await harness.chat(5);
  await using device = await harness.open('alice');
  const { session } = new Reader(device, bob);
  expect(await session.sync(50)).toBe(5);
  expect(session.read(50)).toBe(5);
  await harness.say([{ sender: 'bob', content: { text: '6' } }]);
  expect(await session.sync(50)).toBe(0);
  expect(new Reader(device, bob).session.read(50)).toBe(6);
});

test('what a session fetches ends with its signal', async () => {
  await harness.chat(5);
  await using device = await harness.open('alice');
  const page = harness.relay.hold(({ method }) => method === 'sync');
  const leaving = new AbortController();
  const syncing = new Reader(device, { ...bob, signal: leaving.signal }).session.sync(10);
  await page.came;
  leaving.abort();
  await expect(syncing).rejects.toMatchObject({ reason: 'CANCELLED' });
  page.release();
  expect(await new Reader(device, bob).session.sync(10)).toBe(5);
});

describe('holes', () => {
  /** A device that holds 1 to 40 of 100, and 61 to 70. */
  async function withHoles() {
    await harness.chat(40);
    const device = await harness.open('alice');
    expect(await new Reader(device, bob).session.more(1_000)).toBe(40);
    await harness.say(
      range(41, 100).map((seq) => ({ sender: 'bob', content: { text: `${seq}` } })),
    );
    expect(device.receive(bob, await stored(...range(61, 70)))).toBe(10);
    harness.relay.calls.length = 0;
    return device;
  }

  test('are found and filled going up, each by itself', async () => {
    await using device = await withHoles();
    const reader = new Reader(device, bob);
    expect(reader.session.read(100)).toBe(10);
    expect(await reader.session.sync(15)).toBe(15);
    expect(reader.session.read(100)).toBe(15);
    expect(reader.seqs).toEqual(range(70, 46));
    while ((await reader.session.more(7)) > 0);
    expect(reader.seqs).toEqual(range(70, 1));
    fetchedOnce(range(41, 60));
    // What is above what came by itself is found by the next session.
    const next = new Reader(device, bob);
    while ((await next.session.sync(100)) > 0) next.session.read(100);
    expect(next.seqs).toEqual(range(100, 1));
    fetchedOnce([...range(41, 60), ...range(71, 100)]);
  });

  test('are found and filled going down', async () => {
    await using device = await withHoles();
    const reader = new Reader(device, { ...bob, order: 'oldest-first' });
    expect(reader.session.read(100)).toBe(40);
    while ((await reader.session.more(7)) > 0);
    expect(reader.seqs).toEqual(range(1, 100));
    fetchedOnce([...range(41, 60), ...range(71, 100)]);
  });

  test('are passed over where that is asked for', async () => {
    await using device = await withHoles();
    for (const order of ['newest-first', 'oldest-first'] as const) {
      const reader = new Reader(device, { ...bob, order, acrossHoles: true });
      expect(reader.session.read(1_000)).toBe(50);
      const seqs = [...range(1, 40), ...range(61, 70)];
      expect(reader.seqs).toEqual(order === 'oldest-first' ? seqs : seqs.toReversed());
    }
    expect(harness.relay.calls).toEqual([]);
  });

  test('a message far ahead is shown at once, and what is between is fetched', async () => {
    await harness.chat(500);
    await harness.history.edit({ ...alice, seq: 3, content: { text: 'three' } });
    await using device = await harness.open('alice');
    const first = new Reader(device, { ...bob, order: 'oldest-first' });
    expect(await first.session.more(400)).toBe(400);
    const [last] = await stored(500);
    const live: number[] = [];
    device.on('message', ({ seq, origin }) => live.push(seq!) && expect(origin).toBe('live'));
    // The service told of 500 before: it may have changed since it was sent.
    expect(device.receive(bob, last!)).toBe(0);
    await harness.say([{ sender: 'bob', content: { text: '501' } }]);
    const [next] = await stored(501);
    expect(device.receive(bob, next!)).toBe(1);
    expect(device.receive(bob, next!)).toBe(0);
    expect(live).toEqual([501]);
    const reader = new Reader(device, bob);
    expect(reader.session.read(10)).toBe(1);
    while ((await reader.session.more(90)) > 0);
    expect(reader.seqs).toEqual(range(501, 1));
    fetchedOnce(range(1, 500));
  });
});

describe('filters', () => {
  const call = (sender: string, outcome: CallOutcome): MessageInit => ({
    sender,
    content: { call: { kind: CallKind.VOICE, outcome } },
  });

  /** Of ten messages each: a file, a text in a thread, three calls, five texts. */
  async function mixed(count: number): Promise<void> {
    const kinds: MessageInit[] = [
      { sender: 'bob', content: { text: 'see', files: [{ url: 'https://files.example/1' }] } },
      { sender: 'alice', content: { text: 'about it', thread: 'T' } },
      call('bob', CallOutcome.MISSED),
      call('alice', CallOutcome.MISSED),
      call('bob', CallOutcome.ANSWERED),
      ...Array<MessageInit>(5).fill({ sender: 'bob', content: { text: 'so' } }),
    ];
    await harness.say(range(0, count - 1).map((n) => kinds[n % 10]!));
  }

  test.each([
    ['files', { kinds: ['file'] }, (n: number) => n === 1],
    ['calls', { kinds: ['call'] }, (n: number) => [3, 4, 5].includes(n)],
    ['missed calls', { kinds: ['missed-call'] }, (n: number) => n === 3],
    ['incoming calls', { kinds: ['incoming-call'] }, (n: number) => n === 3 || n === 5],
    ['outgoing calls', { kinds: ['outgoing-call'] }, (n: number) => n === 4],
    [
      'files and outgoing calls',
      { kinds: ['file', 'outgoing-call'] },
      (n: number) => n === 1 || n === 4,
    ],
    ['texts', { kinds: ['text'] }, (n: number) => ![3, 4, 5].includes(n)],
    ['a thread', { thread: 'T' }, (n: number) => n === 2],
    ['files of a thread', { kinds: ['file'], thread: 'T' }, () => false],
  ] as const)('%s alone are fetched, and known by themselves', async (_, filter, fits) => {
    await mixed(100);
    await using device = await harness.open('alice');
    const due = range(100, 1).filter((seq) => fits(seq % 10));
    const reader = new Reader(device, { ...bob, ...filter });
    while ((await reader.session.more(7)) > 0);
    expect(reader.seqs).toEqual(due);
    fetchedOnce(due);
    // Known without the rest, in either order.
    const again = new Reader(device, { ...bob, ...filter, order: 'oldest-first' });
    expect(again.session.read(1_000)).toBe(due.length);
    expect(again.seqs).toEqual(due.toReversed());
    // All messages are a hole still, but what all the messages show the filter knows too.
    expect(new Reader(device, bob).session.read(1)).toBe(0);
    harness.relay.calls.length = 0;
    expect(await new Reader(device, bob).session.more(1_000)).toBe(100);
    fetchedOnce(range(1, 100));
  });

  test('what is known of all messages is known of each filter', async () => {
    await mixed(60);
    await using device = await harness.open('alice');
    expect(await new Reader(device, bob).session.more(30)).toBe(30);
    harness.relay.calls.length = 0;
    const reader = new Reader(device, { ...bob, kinds: ['file'] });
    expect(reader.session.read(10)).toBe(3);
    expect(await reader.session.more(10)).toBe(3);
    expect(reader.seqs).toEqual([51, 41, 31, 21, 11, 1]);
    fetchedOnce([21, 11, 1]);
  });

  test('an edit takes a message into a filter that was known without it, or out of it', async () => {
    await mixed(20);
    await using device = await harness.open('alice');
    const thread = { ...bob, thread: 'T' };
    expect(await new Reader(device, thread).session.more(100)).toBe(2);
    await harness.history.edit({ ...alice, seq: 2, content: { text: 'out' } });
    await harness.history.edit({
      ...alice,
      user: 'bob',
      peer: 'alice',
      seq: 16,
      content: { text: 'in', thread: 'T' },
    });
    const reader = new Reader(device, thread);
    expect(await reader.session.sync(100)).toBe(2);
    reader.session.read(100);
    expect(reader.texts).toEqual(['in', 'about it']);
  });

  test('unread messages end at the mark, without the quiet ones', async () => {
    await mixed(40);
    await harness.say(range(1, 12).map((n) => ({ sender: 'bob', content: { text: `${n}` } })));
    await harness.say([call('bob', CallOutcome.ANSWERED), call('bob', CallOutcome.MISSED)]);
    await using device = await harness.open('alice');
    await new Reader(device, bob).session.more(5);
    await harness.history.markRead({ ...alice, seq: 42 });
    await harness.history.delete({ user: 'bob', peer: 'alice', scope: 'for-everyone', seqs: [47] });
    await new Reader(device, bob).session.sync(6);
    const reader = new Reader(device, { ...bob, unread: true });
    while ((await reader.session.more(4)) > 0);
    // The answered call and what was deleted are quiet; so are those of their own, which raise the mark.
    expect(reader.seqs).toEqual([54, ...range(52, 48), ...range(46, 43)]);
    await harness.say([{ sender: 'alice', content: { text: 'mine' } }]);
    await new Reader(device, bob).session.sync(1);
    expect(await new Reader(device, { ...bob, unread: true }).session.more(4)).toBe(0);
  });
});

describe('without a connection', () => {
  test('reads what is there, fails to sync with a reason, and knows the beginning', async () => {
    await harness.chat(30);
    const path = harness.path();
    {
      await using device = await harness.open('alice', path);
      await new Reader(device, bob).session.more(20);
    }
    await harness.relay[Symbol.asyncDispose]();
    await using device = await harness.open('alice', path);
    const reader = new Reader(device, bob);
    expect(reader.session.read(100)).toBe(20);
    await expect(reader.session.sync(10)).rejects.toMatchObject({ reason: 'UNAVAILABLE' });
    expect(reader.session.read(100)).toBe(0);
    expect(reader.seqs).toEqual(range(30, 11));
  });

  test('the beginning is known, and costs no call', async () => {
    await harness.chat(30);
    const path = harness.path();
    {
      await using device = await harness.open('alice', path);
      await new Reader(device, bob).session.more(100);
    }
    harness.relay.isCut = true;
    harness.relay.calls.length = 0;
    await using device = await harness.open('alice', path);
    const reader = new Reader(device, bob);
    expect(await reader.session.more(30)).toBe(30);
    expect(await reader.session.more(30)).toBe(0);
    expect(harness.relay.calls).toEqual([]);
    // What is new could not be asked for; what can be read is known all the same.
    expect(await reader.session.sync(30)).toBe(0);
  });

  test('what had come when the connection broke is there, and not fetched again', async () => {
    for (const [where, whom, count] of [
      [undefined, bob, 1_600],
      [room, room, 1_600],
    ] as const) {
      await harness.chat(count, where);
      await using device = await harness.open('alice');
      for (const order of ['newest-first', 'oldest-first'] as const) {
        harness.relay.calls.length = 0;
        let frames = 0;
        harness.relay.watch = ({ method }) => {
          if (method === 'sync' && ++frames === 2) throw new Error('broken by the test');
        };
        const reader = new Reader(device, { ...whom, order });
        await expect(reader.session.sync(800)).rejects.toMatchObject({ reason: 'UNAVAILABLE' });
        harness.relay.watch = undefined;
        const came = harness.relay.fetched().size;
        expect(came).toBeGreaterThan(0);
        expect(reader.session.read(10_000)).toBe(came);
        expect(await reader.session.more(800 - came)).toBe(800 - came);
        expect(reader.seqs).toEqual(
          order === 'oldest-first' ? range(1, 800) : range(count, count - 799),
        );
        fetchedOnce(reader.seqs as number[]);
      }
    }
  });
});

describe('what others change', () => {
  test('is read as it now stands once the inbox has told of it, also where all is held', async () => {
    await harness.chat(3);
    await using device = await harness.open('alice');
    await new Reader(device, bob).session.more(50);
    const theirs = { user: 'bob', peer: 'alice' };
    await harness.history.edit({ ...theirs, seq: 2, content: { text: 'edited' } });
    await harness.history.delete({ ...alice, scope: 'for-everyone', seqs: [1] });
    await device.refresh();
    const reader = new Reader(device, bob);
    expect(await reader.session.more(50)).toBe(3);
    expect(reader.texts).toEqual(['3', 'edited', '']);
  });

  test('comes as corrections, and what was hidden elsewhere goes', async () => {
    await harness.chat(60);
    await using device = await harness.open('alice');
    expect(await new Reader(device, bob).session.more(50)).toBe(50);
    harness.relay.calls.length = 0;
    const theirs = { user: 'bob', peer: 'alice' };
    await harness.history.edit({ ...theirs, seq: 58, content: { text: 'edited' } });
    await harness.history.edit({ ...theirs, seq: 4, content: { text: 'not held' } });
    await harness.history.delete({ ...theirs, scope: 'for-everyone', seqs: [56] });
    await harness.history.delete({ ...theirs, scope: 'for-me', seqs: [52] });
    await harness.history.delete({ ...alice, scope: 'for-me', seqs: [54] });
    const reader = new Reader(device, bob);
    expect(await reader.session.sync(0)).toBe(0);
    reader.session.read(9);
    expect(reader.seqs).toEqual([60, 59, 58, 57, 56, 55, 53, 52, 51]);
    expect(reader.messages[2]).toMatchObject({ text: 'edited', revision: 1 });
    expect(reader.messages[2]!.editedAtMs).toBeGreaterThan(0);
    expect(reader.messages[4]).toMatchObject({ text: '', content: undefined });
    expect(reader.messages[4]!.deletedAtMs).toBeGreaterThan(0);
    fetchedOnce([]);
    while ((await reader.session.more(50)) > 0);
    expect(reader.texts.at(-4)).toBe('not held');
    fetchedOnce(range(1, 10));
  });

  test('the beginning that was deleted elsewhere goes', async () => {
    await harness.chat(60);
    await using device = await harness.open('alice');
    await new Reader(device, bob).session.more(50);
    await harness.history.delete({ ...alice, scope: 'for-me', upToSeq: 30 });
    const reader = new Reader(device, bob);
    await reader.session.sync(0);
    expect(reader.session.read(100)).toBe(30);
    expect(await reader.session.sync(100)).toBe(0);
    fetchedOnce(range(11, 60));
  });

  test('where the log reaches back no longer, all is forgotten and fetched again', async () => {
    await harness.chat(20);
    const path = harness.path();
    await using device = await harness.open('alice', path);
    await new Reader(device, bob).session.more(20);
    await harness.history.edit({ ...alice, seq: 3, content: { text: 'edited' } });
    await alter('UPDATE conversation SET log_revision = revision');
    const reader = new Reader(device, bob);
    expect(await reader.session.sync(5)).toBe(5);
    expect(reader.session.read(100)).toBe(5);
    while ((await reader.session.more(100)) > 0);
    expect(reader.seqs).toEqual(range(20, 1));
    expect(reader.texts[17]).toBe('edited');
  });

  test('another epoch voids what was known', async () => {
    const { directory } = harness;
    const owner = { user: 'carol', role: Role.OWNER };
    await directory.createGroup({
      ...room,
      historyVisibility: HistoryVisibility.FROM_JOINING,
      members: [owner],
    });
    await harness.say(
      range(1, 10).map((n) => ({ sender: 'carol', content: { text: `${n}` } })),
      room,
    );
    await directory.addMembers({ ...room, members: [{ user: 'alice' }] });
    await harness.say(
      range(11, 20).map((n) => ({ sender: 'carol', content: { text: `${n}` } })),
      room,
    );
    await using device = await harness.open('alice');
    expect(await new Reader(device, room).session.more(100)).toBe(10);

    await directory.removeMembers({ ...room, members: ['alice'] });
    await harness.say([{ sender: 'carol', content: { text: 'unseen' } }], room);
    const former = new Reader(device, room);
    expect(await former.session.sync(100)).toBe(10);

    await directory.updateGroup({ ...room, historyVisibility: HistoryVisibility.ALL });
    await directory.addMembers({ ...room, members: [{ user: 'alice' }] });
    const reader = new Reader(device, room);
    while ((await reader.session.sync(100)) > 0) reader.session.read(100);
    expect(reader.seqs).toEqual(range(21, 1));
  });

  test('what came by itself in a group stays, though it was not known yet what may be seen', async () => {
    await harness.chat(30, room);
    await using device = await harness.open('alice');
    await new Reader(device, room).session.more(1);
    const { messages } = await harness.history.sync({ ...room, user: 'alice' }).collect();
    await using other = await harness.open('alice');
    harness.relay.calls.length = 0;
    expect(other.receive(room, messages.slice(0, 5))).toBe(5);
    const reader = new Reader(other, room);
    while ((await reader.session.more(10)) > 0);
    expect(reader.seqs).toEqual(range(30, 1));
    fetchedOnce(range(1, 25));
  });

  test('a message that came late is not put in over what is known of it', async () => {
    await harness.chat(20);
    const late = await stored(18, 19, 20);
    await using device = await harness.open('alice');
    await harness.history.edit({ ...alice, seq: 19, content: { text: 'edited' } });
    await harness.history.delete({ ...alice, scope: 'for-me', seqs: [20] });
    await new Reader(device, bob).session.more(3);
    expect(device.receive(bob, late)).toBe(0);
    const reader = new Reader(device, bob);
    reader.session.read(3);
    expect(reader.texts).toEqual(['edited', '18', '17']);
  });

  test('a message vanishes when its time has come', async () => {
    await harness.chat(3);
    const expiresAtMs = Date.now() + 1_500;
    await harness.say([
      { sender: 'bob', content: { text: 'fleeting' }, expiresAtMs: BigInt(expiresAtMs) },
    ]);
    await using device = await harness.open('alice');
    const reader = new Reader(device, bob);
    expect(await reader.session.more(10)).toBe(4);
    expect(reader.messages[0]).toMatchObject({ text: 'fleeting', expiresAtMs });
    const read = () => new Reader(device, bob).session.read(10);
    await eventually(() => expect(read()).toBe(3));
    expect(Date.now()).toBeGreaterThanOrEqual(expiresAtMs);
  });
});

describe('odd values', () => {
  test('come back as they are, and times beyond what is safe as the nearest that is', async () => {
    const texts = ['a\0b', '\u2028 \u2029', '\u{1f9d1}‍🚀 e\u0301 \u202e', '', 'x'.repeat(200_000)];
    const times = [2n ** 62n, -(2n ** 62n), -1n, 253_402_300_800_000n, 1n];
    const messages = texts.map((text, n) => ({
      sender: 'bob',
      id: `\0${n}`.slice(1),
      sentAtMs: times[n]!,
      content: {
        text,
        reply: { messageId: text.slice(0, 9) },
        opaque: { data: new Uint8Array([0, 255]) },
      },
    }));
    for await (const _ of harness.history.import([{ runs: [{ ...alice, messages }] }]));
    await using device = await harness.open('alice');
    const reader = new Reader(device, { ...bob, order: 'oldest-first' });
    expect(await reader.session.more(10)).toBe(5);
    expect(reader.texts).toEqual(texts);
    expect(reader.messages.map(({ sentAtMs }) => sentAtMs)).toEqual([
      ...[Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER],
      ...[-1, 253_402_300_800_000, 1],
    ]);
    expect(reader.messages.map(({ content }) => content)).toMatchObject(
      messages.map(({ content }) => content),
    );
  });

  test('seqs near the highest are read and asked for', async () => {
    await harness.chat(5);
    const highest = Number.MAX_SAFE_INTEGER;
    const moved = highest - 6;
    await alter(`UPDATE message SET seq = seq + ${moved}`);
    await alter(`UPDATE conversation SET last_seq = last_seq + ${moved}`);
    await using device = await harness.open('alice');
    const reader = new Reader(device, bob);
    expect(await reader.session.more(3)).toBe(3);
    expect(await reader.session.sync(1)).toBe(1);
    expect(reader.session.read(1)).toBe(1);
    expect(reader.seqs).toEqual(range(moved + 5, moved + 2));
  });
});

describe('side by side', () => {
  test('two sessions that sync one conversation at once fetch each message once', async () => {
    await harness.chat(200);
    await using device = await harness.open('alice');
    const readers = range(1, 4).map(
      (n) => new Reader(device, { ...bob, order: n % 2 === 0 ? 'oldest-first' : 'newest-first' }),
    );
    await Promise.all(readers.map(({ session }) => session.sync(150)));
    for (const { session } of readers) while ((await session.more(70)) > 0);
    for (const [n, { seqs }] of readers.entries()) {
      expect(seqs).toEqual(n % 2 === 1 ? range(1, 200) : range(200, 1));
    }
    fetchedOnce(range(1, 200));
  });

  test('two openers of one database share what either fetched', async () => {
    await harness.chat(120);
    const path = harness.path();
    await using one = await harness.open('alice', path);
    await using two = await harness.open('alice', path);
    expect(await new Reader(one, bob).session.more(60)).toBe(60);
    const reader = new Reader(two, bob);
    expect(reader.session.read(100)).toBe(60);
    expect(await reader.session.more(100)).toBe(60);
    expect(new Reader(one, bob).session.read(200)).toBe(120);
    fetchedOnce(range(1, 120));
  });

  test('what another put in while a correction was on its way is corrected the next time', async () => {
    await harness.chat(40);
    const path = harness.path();
    await using one = await harness.open('alice', path);
    await using two = await harness.open('alice', path);
    await new Reader(one, bob).session.more(10);
    // Held up here: the second has the old text of 25 on its way, while the first corrects.
    const { promise, resolve } = Promise.withResolvers<void>();
    let held = false;
    harness.relay.watch = async ({ method }) => {
      if (method !== 'sync' || held) return;
      held = true;
      await promise;
    };
    const fetching = new Reader(two, bob);
    const fetched = (async () => {
      await fetching.session.more(30);
    })();
    await eventually(() => expect(held).toBe(true));
    await harness.history.edit({ ...alice, seq: 25, content: { text: 'edited' } });
    await new Reader(one, bob).session.sync(0);
    resolve();
    await fetched;
    await new Reader(one, bob).session.sync(0);
    const reader = new Reader(one, bob);
    reader.session.read(30);
    expect(reader.texts[15]).toBe('edited');
  });

  test('a correction that others put something in beside claims no more than before it', async () => {
    await harness.chat(700);
    const path = harness.path();
    await using one = await harness.open('alice', path);
    await using two = await harness.open('alice', path);
    await new Reader(one, bob).session.more(10);
    const pages = Promise.withResolvers<void>();
    const corrections = Promise.withResolvers<void>();
    const met = { pages: 0, corrections: 0 };
    harness.relay.watch = async ({ method }) => {
      if (method === 'sync') {
        met.pages++;
        await pages.promise;
      }
      // The first frame goes on: it has a change of what is not held yet.
      if (method === 'changes' && ++met.corrections > 1) await corrections.promise;
    };
    const fetched = new Reader(two, bob).session.more(700);
    await eventually(() => expect(met.pages).toBe(1));
    met.corrections = 0;
    const theirs = { user: 'bob', peer: 'alice' };
    for (const seq of [680, ...range(28, 650).filter((n) => n % 2 === 0)]) {
      await harness.history.edit({ ...theirs, seq, content: { text: `edited ${seq}` } });
    }
    for (const seq of range(29, 649).filter((n) => n % 2 === 1)) {
      await harness.history.edit({ ...alice, seq, content: { text: `edited ${seq}` } });
    }
    const corrected = new Reader(one, bob).session.sync(0);
    await eventually(() => expect(met.corrections).toBe(2));
    pages.resolve();
    await fetched;
    corrections.resolve();
    await corrected;
    harness.relay.watch = undefined;
    await new Reader(one, bob).session.sync(0);
    const reader = new Reader(one, bob);
    reader.session.read(1_000);
    expect(reader.texts[20]).toBe('edited 680');
    expect(reader.texts.filter((text) => text.startsWith('edited'))).toHaveLength(624);
  });

  test('what waits in the outbox stands above the newest', async () => {
    await harness.chat(3);
    await using device = await harness.open('alice');
    const ids = ['one', 'two'].map((text) => device.append(bob, { content: { text } }));
    const reader = new Reader(device, bob);
    expect(await reader.session.more(10)).toBe(5);
    expect(reader.texts).toEqual(['two', 'one', '3', '2', '1']);
    expect(reader.messages.slice(0, 2)).toMatchObject([
      { id: ids[1], seq: undefined, status: 'outbox', sender: 'alice' },
      { id: ids[0], seq: undefined, status: 'outbox', sender: 'alice' },
    ]);
    const rising = new Reader(device, { ...bob, order: 'oldest-first' });
    expect(rising.session.read(10)).toBe(5);
    expect(rising.texts).toEqual(['1', '2', '3', 'one', 'two']);
  });
});
