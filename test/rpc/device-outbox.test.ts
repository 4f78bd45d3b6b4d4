import { create } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import type { Device } from '../../clients/device/index.ts';
import type { AppendRequest } from '../../clients/gen/backscroll/history/v1/history_pb.ts';
import { FileSchema } from '../../clients/gen/backscroll/history/v1/message_pb.ts';
import { eventually } from '../support/eventually.ts';
import { harness, Reader, range, useHarness } from './device-harness.ts';

const bob = { peer: 'bob' };

useHarness();

/** What is said, in its order. */
function say(device: Device, ...texts: string[]): string[] {
  return texts.map((text) => device.append(bob, { content: { text } }));
}

/** Texts of what the service has of alice and bob, in its order. */
async function stored(conversation: { peer: string } | { group: string } = bob) {
  const texts: string[] = [];
  const page = harness.history.sync({
    ...{ user: 'alice', ...conversation, count: 100_000, order: 'oldest-first' },
  });
  for await (const frame of page.frames()) texts.push(...frame.map((m) => m.content?.text ?? ''));
  return texts;
}

/** Texts, seqs and statuses of what a device reads without a connection, in its order. */
function held(device: Device) {
  const reader = new Reader(device, { ...bob, order: 'oldest-first' });
  reader.session.read(100_000);
  return reader.messages.map(({ text, seq, status }) => [text, seq, status]);
}

/** Resolves when nothing waits in the outbox any more. */
async function empty(device: Device, conversation: { peer: string } | { group: string } = bob) {
  await eventually(() => expect(device.counts(conversation).waiting).toBe(0));
}

/** The messages of each call that appends, as they came to the relay. */
function appends() {
  return harness.relay.calls
    .filter(({ method }) => method === 'append')
    .map(({ request }) => (request as AppendRequest).messages);
}

test('sends what was said in order, and moves it to where all else stands', async () => {
  await using device = await harness.open('alice');
  const ids = say(device, 'one', 'two', 'three');
  expect(held(device)).toEqual([
    ['one', undefined, 'outbox'],
    ['two', undefined, 'outbox'],
    ['three', undefined, 'outbox'],
  ]);
  expect(device.counts(bob)).toEqual({ stored: 0, unread: 0, waiting: 3 });
  const sent: unknown[] = [];
  device.on('sent', (...what) => sent.push(what));
  device.start();
  await empty(device);
  expect(await stored()).toEqual(['one', 'two', 'three']);
  expect(held(device)).toEqual([
    ['one', 1, 'sent'],
    ['two', 2, 'sent'],
    ['three', 3, 'sent'],
  ]);
  expect(sent).toEqual(ids.map((id, n) => [id, n + 1, bob]));
  expect(device.counts(bob)).toEqual({ stored: 3, unread: 0, waiting: 0 });

  const before = harness.relay.calls.length;
  say(device, 'four');
  await empty(device);
  expect(held(device).at(-1)).toEqual(['four', 4, 'sent']);
  expect(harness.relay.calls.slice(before).map(({ method }) => method)).toEqual(['append']);
});

test('sends at once what waits, and marks, without being started', async () => {
  await using device = await harness.open('alice');
  await harness.say([{ sender: 'bob', content: { text: 'one' } }]);
  await device.readSession({ ...bob, receipts: true }, () => {}).more(10);
  await device.flush();
  const page = harness.history.sync({ user: 'bob', peer: 'alice', count: 1 });
  expect((await page.collect()).result.peerMarks).toMatchObject({ readSeq: 1n });
  say(device, 'two');
  await device.flush();
  expect(held(device).at(-1)).toEqual(['two', 2, 'sent']);
  await harness.relay[Symbol.asyncDispose]();
  say(device, 'three');
  await expect(device.flush()).rejects.toMatchObject({ reason: 'UNAVAILABLE' });
  expect(device.counts(bob).waiting).toBe(1);
});

test('sends 100 messages or 900 KiB at a time', async () => {
  await using device = await harness.open('alice');
  say(device, ...range(1, 230).map(String));
  const large = 'x'.repeat(255 * 1024);
  for (const n of range(1, 5)) device.append({ peer: 'eve' }, { content: { text: n + large } });
  device.start();
  await empty(device);
  await empty(device, { peer: 'eve' });
  expect(appends().map(({ length }) => length)).toEqual([100, 100, 30, 3, 2]);
  expect(await stored()).toEqual(range(1, 230).map(String));
  expect((await stored({ peer: 'eve' })).map(([first]) => first)).toEqual([...'12345']);
});

test('goes on by itself once there is a connection again', async () => {
  await using device = await harness.open('alice');
  const problems: unknown[] = [];
  device.on('problem', (error) => problems.push(error));
  harness.relay.isCut = true;
  say(device, 'one');
  device.start();
  await eventually(() => expect(problems).not.toHaveLength(0));
  expect(problems[0]).toMatchObject({ name: 'BackscrollError', reason: 'UNAVAILABLE' });
  say(device, 'two');
  harness.relay.isCut = false;
  await empty(device);
  expect(await stored()).toEqual(['one', 'two']);
});

test('a message whose answer was lost is stored once', async () => {
  await using device = await harness.open('alice');
  loseAnswers(1);
  say(device, 'one', 'two');
  device.start();
  await empty(device);
  expect(appends().map(({ length }) => length)).toEqual([2, 2]);
  expect(await stored()).toEqual(['one', 'two']);
  expect(held(device).map(([, seq]) => seq)).toEqual([1, 2]);
});

/** Breaks the next calls that append after the service has done what they say. */
function loseAnswers(count: number): void {
  let left = count;
  harness.relay.watch = ({ method }) => {
    if (method === 'append' && left-- > 0) throw new Error('the answer is lost');
  };
}

test('a message that was edited before its answer came is held as it stands', async () => {
  await harness.chat(3);
  await using device = await harness.open('alice');
  const reader = new Reader(device, { ...bob, order: 'oldest-first' });
  expect(await reader.session.more(3)).toBe(3);
  loseAnswers(1);
  const broken = new Promise((resolve) => device.once('problem', resolve));
  say(device, 'said');
  device.start();
  await broken;
  await device.stop();
  await harness.history.edit({ user: 'alice', ...bob, seq: 4, content: { text: 'edited' } });
  // Now the device knows that there is a fourth, and of all changes, but not what it says.
  expect(await new Reader(device, { ...bob, order: 'oldest-first' }).session.sync(3)).toBe(3);
  device.start();
  await empty(device);
  expect(held(device).at(-1)).toEqual(['edited', 4, 'sent']);
});

test('a message that was edited after it was sent is corrected with all else', async () => {
  await using device = await harness.open('alice');
  harness.relay.watch = async ({ method }) => {
    if (method !== 'append') return;
    await harness.history.edit({ user: 'alice', ...bob, seq: 1, content: { text: 'edited' } });
  };
  say(device, 'said');
  device.start();
  await empty(device);
  expect(held(device)).toEqual([['said', 1, 'sent']]);
  expect(await new Reader(device, bob).session.sync(1)).toBe(1);
  expect(held(device)).toEqual([['edited', 1, 'sent']]);
});

test('a message that is refused keeps nothing else waiting', async () => {
  await using device = await harness.open('alice');
  const failed: unknown[] = [];
  device.on('failed', (id, { reason }) => failed.push([id, reason]));
  const files = range(1, 33).map((n) => create(FileSchema, { url: `https://x.example/${n}` }));
  say(device, 'one', 'two');
  const bad = device.append(bob, { content: { text: 'bad', files } });
  say(device, 'three');
  device.start();
  await empty(device);
  expect(await stored()).toEqual(['one', 'two', 'three']);
  expect(failed).toEqual([[bad, 'TOO_LARGE']]);
  expect(held(device).at(-1)).toEqual(['bad', undefined, 'failed']);
  const reader = new Reader(device, bob);
  reader.session.read(1);
  expect(reader.messages[0]?.failure).toMatch(/^TOO_LARGE: message\.content\.files: /);

  expect(device.retry(bob, 'another')).toBe(false);
  expect(device.retry(bob, bad)).toBe(true);
  await eventually(() => expect(failed).toHaveLength(2));
  expect(device.discard(bob, bad)).toBe(true);
  expect(device.discard(bob, bad)).toBe(false);
  expect(device.retry(bob, bad)).toBe(false);
  expect(held(device)).toHaveLength(3);
});

test('what is refused for a reason of no single message is refused one by one', async () => {
  await using device = await harness.open('alice');
  const members = [{ user: 'alice' }];
  await harness.directory.createGroup({ user: 'alice', group: 'room', members });
  await harness.directory.deleteGroup({ user: 'alice', group: 'room' });
  const failed: unknown[] = [];
  device.on('failed', (_, { reason }) => failed.push(reason));
  for (const n of range(1, 5)) device.append({ group: 'room' }, { content: { text: `${n}` } });
  say(device, 'one');
  device.start();
  await empty(device, { group: 'room' });
  await empty(device);
  expect(failed).toEqual(Array(5).fill('GROUP_DELETED'));
  expect(await stored()).toEqual(['one']);
});

test('each of several that are refused is told why, as if it had been sent alone', async () => {
  await using device = await harness.open('alice');
  const failed: unknown[] = [];
  device.on('failed', (id, { reason, fields }) =>
    failed.push([id, reason, fields.map(({ field }) => field)]),
  );
  device.append(bob, { id: 'good', content: { text: 'one' } });
  const file = { url: 'https://files.example/a', sha256: new Uint8Array(5) };
  device.append(bob, { id: 'file', content: { files: [file] } });
  device.append(bob, { id: 'thread', content: { text: 'two', thread: 'x'.repeat(500) } });
  await device.flush();
  expect(failed).toEqual([
    ['file', 'INVALID_FIELD', ['message.content.files[0].sha256']],
    ['thread', 'TOO_LARGE', ['message.content.thread']],
  ]);
  expect(await stored()).toEqual(['one']);
  const failures = new Reader(device, bob);
  failures.session.read(10);
  expect(failures.messages.map(({ failure }) => failure?.split(':')[0])).toEqual([
    'TOO_LARGE',
    'INVALID_FIELD',
    undefined,
  ]);
});

test('a group that takes no messages of the user refuses all, with an id that another has', async () => {
  await using device = await harness.open('alice');
  await harness.directory.createGroup({ user: 'bob', group: 'room', members: [{ user: 'bob' }] });
  const failed: unknown[] = [];
  device.on('failed', (id, { reason }) => failed.push([id, reason]));
  device.append({ group: 'room' }, { id: '1', content: { text: 'one' } });
  device.append({ group: 'room' }, { id: '2', content: { text: 'two' } });
  device.append(bob, { id: '3', content: { text: 'one' } });
  device.append(bob, { id: '3', content: { text: 'two' } });
  device.start();
  await eventually(() => expect(failed).toHaveLength(3));
  expect(failed).toEqual([
    ['1', 'NOT_A_MEMBER'],
    ['2', 'NOT_A_MEMBER'],
    ['3', 'MESSAGE_ID_CONFLICT'],
  ]);
  await empty(device);
  expect(await stored()).toEqual(['one']);
});

test('a message whose time has come is neither shown nor sent any more', async () => {
  const database = harness.path();
  await using device = await harness.open('alice', database);
  const expiresAtMs = BigInt(Date.now() + 60_000);
  device.append(bob, { content: { text: 'brief' }, expiresAtMs });
  say(device, 'lasting');
  expect(held(device)).toHaveLength(2);
  // As if the time had passed meanwhile.
  using store = harness.look('alice', database).sqlite;
  store.exec('UPDATE outbox SET expires_at_ms = 1 WHERE expires_at_ms > 0');
  expect(held(device).map(([text]) => text)).toEqual(['lasting']);
  device.start();
  await empty(device);
  expect(await stored()).toEqual(['lasting']);
});

test('what the service has a fault with keeps no other conversation waiting', async () => {
  await using device = await harness.open('alice');
  const fault = Object.assign(new Error('a fault'), { code: 13, details: 'a fault' });
  harness.relay.watch = ({ request }) => {
    const { messages } = request as AppendRequest;
    if (messages.some(({ content }) => content?.text === 'poison')) throw fault;
  };
  const problem = new Promise((resolve) => device.once('problem', resolve));
  say(device, 'poison');
  device.append({ peer: 'eve' }, { content: { text: 'one' } });
  device.start();
  await empty(device, { peer: 'eve' });
  expect(await problem).toMatchObject({ reason: 'INTERNAL' });
  expect(device.counts(bob).waiting).toBe(1);
  harness.relay.watch = undefined;
  await empty(device);
  expect(await stored()).toEqual(['poison']);
});

test.each([
  ['no name', { peer: '' }, {}, 'peer', 'MISSING_FIELD'],
  ['no conversation at all', JSON.parse('null'), {}, 'peer', 'MISSING_FIELD'],
  ['a name that is too long', { group: 'x'.repeat(256) }, {}, 'group', 'TOO_LARGE'],
  ['a name with a line break', { peer: 'bob\n' }, {}, 'peer', 'INVALID_FIELD'],
  ['an id that is too long', bob, { id: 'é'.repeat(65) }, 'message.id', 'TOO_LARGE'],
  [
    'a message that is too large',
    bob,
    { content: { text: 'x'.repeat(256 * 1024) } },
    'message',
    'TOO_LARGE',
  ],
])('refuses %s at once', async (_, conversation, message, field, reason) => {
  await using device = await harness.open('alice');
  let error: unknown;
  try {
    device.append(conversation, message);
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toMatchObject({ code: 3, reason, fields: [{ field }] });
});

test("hides nobody else's message that has the id of one that was refused", async () => {
  await harness.history.append({
    ...{ user: 'bob', peer: 'alice' },
    messages: [{ id: '1', content: { text: 'theirs' } }],
  });
  await using device = await harness.open('alice');
  device.append(bob, { id: '1', content: { text: 'mine' } });
  const waiting = new Reader(device, bob);
  expect(waiting.session.read(1)).toBe(1);
  await device.flush();
  await waiting.session.more(10);
  expect(waiting.texts).toEqual(['mine', 'theirs']);
  const refused = new Reader(device, bob);
  await refused.session.more(10);
  expect(refused.texts).toEqual(['mine', 'theirs']);
});

test("hides not even the user's own of another device", async () => {
  await harness.history.append({
    ...{ user: 'alice', peer: 'bob' },
    messages: [{ id: '1', content: { text: 'elsewhere' } }],
  });
  await using device = await harness.open('alice');
  device.append(bob, { id: '1', content: { text: 'here' } });
  await device.flush();
  const reader = new Reader(device, bob);
  await reader.session.more(10);
  expect(reader.texts).toEqual(['here', 'elsewhere']);
});

test('hands over once what was refused, and then sent', async () => {
  const room = { group: 'room' };
  await harness.directory.createGroup({ user: 'dave', ...room, members: [{ user: 'bob' }] });
  await using device = await harness.open('alice');
  const id = device.append(room, { content: { text: 'mine' } });
  await device.flush();
  const reader = new Reader(device, { ...room, order: 'oldest-first' });
  expect(reader.session.read(10)).toBe(1);
  await harness.directory.addMembers({ ...room, members: [{ user: 'alice' }] });
  expect(device.retry(room, id)).toBe(true);
  await device.flush();
  expect(await reader.session.more(10)).toBe(0);
  expect(reader.messages.map(({ text, status }) => [text, status])).toEqual([['mine', 'failed']]);
});

test('tells apart messages of one id in two conversations', async () => {
  for (const group of ['one', 'two']) {
    await harness.directory.createGroup({ user: 'dave', group, members: [{ user: 'bob' }] });
  }
  await using device = await harness.open('alice');
  const failed: unknown[] = [];
  device.on('failed', (id, { reason }, conversation) => failed.push([id, reason, conversation]));
  const [one, two] = [{ group: 'one' }, { group: 'two' }];
  for (const group of [one, two]) device.append(group, { id: '1', content: { text: 'hi' } });
  await device.flush();
  expect(failed).toEqual([one, two].map((group) => ['1', 'NOT_A_MEMBER', group]));
  expect(device.discard(one, '1')).toBe(true);
  expect(new Reader(device, one).session.read(10)).toBe(0);
  expect(new Reader(device, two).session.read(10)).toBe(1);
  expect(device.discard({ group: 'three' }, '1')).toBe(false);
});

test('sent once more, a message that was deleted since stays so', async () => {
  const database = harness.path();
  const restored = harness.path();
  {
    await using device = await harness.open('alice', database);
    device.append(bob, { content: { text: 'regretted' } });
    expect(await device.backupDatabase(restored)).toBe(restored);
    await device.flush();
    await device.deleteMessages(bob, { scope: 'for-everyone', seqs: [1] });
  }
  await using device = await harness.open('alice', restored);
  await device.flush();
  const reader = new Reader(device, bob);
  expect(reader.session.read(10)).toBe(1);
  expect(reader.messages[0]).toMatchObject({ seq: 1, text: '', deletedAtMs: expect.any(Number) });
  expect(reader.messages[0]!.deletedAtMs).toBeGreaterThan(0);
});

test('one process sends what another put in', async () => {
  const database = harness.path();
  await using writer = await harness.open('alice', database);
  await using sender = await harness.open('alice', database);
  const sent: string[] = [];
  sender.on('sent', (id) => sent.push(id));
  sender.start();
  const ids = [...say(writer, 'one'), ...say(sender, 'two'), ...say(writer, 'three')];
  await eventually(() => expect(sent).toEqual(ids));
  expect(await stored()).toEqual(['one', 'two', 'three']);
});

test('what is taken as it comes, the service takes', async () => {
  await using device = await harness.open('alice');
  await using other = await harness.open('alice');
  const failed: unknown[] = [];
  device.on('failed', (...what) => failed.push(what));
  const sized = (length: number) => ({
    ...{ id: 'ä'.repeat(64), sentAtMs: -1n, expiresAtMs: BigInt(Number.MAX_SAFE_INTEGER) },
    content: { text: 'x'.repeat(length) },
  });
  let [fits, tooLong] = [1, 256 * 1024];
  while (tooLong - fits > 1) {
    const length = Math.floor((fits + tooLong) / 2);
    try {
      other.append(bob, sized(length));
      fits = length;
    } catch {
      tooLong = length;
    }
  }
  device.append(bob, sized(fits));
  device.append({ peer: 'ä'.repeat(127) }, {});
  device.start();
  await empty(device);
  expect((await stored())[0]).toHaveLength(fits);
  await empty(device, { peer: 'ä'.repeat(127) });
  expect(failed).toEqual([]);
});

test('two processes send what both put in, in order and once', async () => {
  const database = harness.path();
  await using one = await harness.open('alice', database);
  await using two = await harness.open('alice', database);
  const sent: string[] = [];
  for (const device of [one, two]) {
    device.on('sent', (id) => sent.push(id));
    device.start();
  }
  const ids: string[] = [];
  for (const n of range(1, 300)) {
    ids.push(...say(n % 2 === 0 ? one : two, `${n}`));
    if (n % 7 === 0) await new Promise(setImmediate);
  }
  await empty(one);
  expect(await stored()).toEqual(range(1, 300).map(String));
  expect(held(two).map(([text, seq]) => [text, seq])).toEqual(
    range(1, 300).map((n) => [`${n}`, n]),
  );
  expect(sent.toSorted()).toEqual(ids.toSorted());
});

test.each(['newest-first', 'oldest-first'] as const)(
  'a session hands over once what waited and was sent meanwhile, %s',
  async (order) => {
    await harness.chat(3);
    await using device = await harness.open('alice');
    say(device, 'a', 'b');
    const reader = new Reader(device, { ...bob, order });
    const whole =
      order === 'newest-first' ? ['b', 'a', '3', '2', '1'] : ['1', '2', '3', 'a', 'b', 'c'];
    if (order === 'newest-first') expect(reader.session.read(2)).toBe(2);
    else expect(await reader.session.more(5)).toBe(5);
    await device.flush();
    // What is said from now on stands above one that goes down, and at the end of one that goes up.
    say(device, 'c');
    await reader.session.more(10);
    expect(await reader.session.sync(10)).toBe(0);
    expect(reader.session.read(10)).toBe(0);
    expect(reader.texts).toEqual(whole);
  },
);

test('what was sent to a group that was deleted before the answer came is nowhere', async () => {
  const crew = { group: 'crew' };
  await harness.directory.createGroup({ ...crew, members: [{ user: 'alice' }] });
  await using device = await harness.open('alice');
  await device.refresh();
  const sent: string[] = [];
  device.on('sent', (id) => sent.push(id));
  const id = device.append(crew, { content: { text: 'hi' } });
  harness.relay.watch = async ({ method }) => {
    if (method !== 'append') return;
    await harness.directory.deleteGroup(crew);
    await device.refresh();
    expect(device.conversation(crew)).toMatchObject({ state: 'gone' });
  };
  await device.flush();
  expect(sent).toEqual([id]);
  expect(device.counts(crew)).toEqual({ stored: 0, unread: 0, waiting: 0 });
});
