import { describe, expect, test } from 'vitest';
import type { Device } from '../../clients/device/index.ts';
import type { Deletion } from '../../clients/device/sync/edits.ts';
import { eventually } from '../support/eventually.ts';
import { harness, Reader, range, useHarness } from './device-harness.ts';

const bob = { peer: 'bob' };
const alice = { user: 'alice', peer: 'bob' } as const;

useHarness();

/** Holds what the device has of bob to what the service has, once it was brought up to date. */
async function expectEqual(device: Device): Promise<void> {
  await device.refresh();
  await new Reader(device, bob).session.sync(1_000);
  const reader = new Reader(device, bob);
  while ((await reader.session.more(1_000)) > 0);
  const { messages } = await harness.history.sync({ ...alice, count: 1_000 }).collect();
  expect(reader.messages.map(({ seq, text }) => [seq, text])).toEqual(
    messages.map(({ seq, content }) => [Number(seq), content?.text ?? '']),
  );
  expect(device.counts(bob).stored).toBe(messages.length);
}

/** A device that holds all of a conversation. */
async function whole(count: number, path?: string): Promise<Device> {
  await harness.chat(count);
  const device = await harness.open('alice', path);
  await device.refresh();
  expect(await new Reader(device, bob).session.more(1_000)).toBe(count);
  return device;
}

const answersTo = (method: string) => harness.relay.hold((call) => call.method === method);

/**
 * Deletes for alice alone: on the device, or on another of hers. Resolves when the device knows of it; what it
 * then still does may wait for an answer that is held.
 */
async function hide(where: 'here' | 'elsewhere', device: Device, path: string, what: Deletion) {
  if (where === 'here') {
    await device.deleteMessages(bob, what);
    return { done: Promise.resolve() };
  }
  const store = harness.look('alice', path);
  const known = () => {
    const { floor_seq, told_revision } = store.conversation(bob)!;
    return floor_seq + told_revision;
  };
  const before = known();
  await harness.history.delete({ ...alice, ...what });
  const done = device.refresh();
  await eventually(() => expect(known()).toBeGreaterThan(before));
  store.sqlite.close();
  return { done };
}

const hidden = [
  { scope: 'for-me', upToSeq: 5 },
  { scope: 'for-me', seqs: [3] },
] as const;

describe.each(['here', 'elsewhere'] as const)('what was hidden %s stays so', (where) => {
  test.each(hidden)('when a page comes late that has it: %j', async (deletion) => {
    await harness.chat(10);
    const path = harness.path();
    await using device = await harness.open('alice', path);
    await device.refresh();
    const page = answersTo('sync');
    const syncing = new Reader(device, bob).session.sync(10);
    await page.came;
    const { done } = await hide(where, device, path, deletion);
    page.release();
    await Promise.all([syncing, done]);
    await expectEqual(device);
  });

  test.each(hidden)('when a correction comes late that has it: %j', async (deletion) => {
    const path = harness.path();
    await using device = await whole(10, path);
    await harness.history.edit({ ...alice, seq: 3, content: { text: 'edited' } });
    const changes = answersTo('changes');
    const syncing = new Reader(device, bob).session.sync(10);
    await changes.came;
    const { done } = await hide(where, device, path, deletion);
    changes.release();
    await Promise.all([syncing, done]);
    await expectEqual(device);
  });

  test.each(hidden)('when an edit of it is answered late: %j', async (deletion) => {
    const path = harness.path();
    await using device = await whole(10, path);
    const edited = answersTo('editMessage');
    const editing = device.edit(bob, 3, { text: 'edited' });
    await edited.came;
    const { done } = await hide(where, device, path, deletion);
    await done;
    edited.release();
    await editing;
    await expectEqual(device);
  });
});

describe('what comes while all before it is deleted', () => {
  const all = { scope: 'for-me', upToSeq: Number.MAX_SAFE_INTEGER } as const;

  test.each([all, { scope: 'for-me', seqs: [11] }] as const)('is kept: %j', async (deletion) => {
    await using device = await whole(10);
    const deleted = answersTo('deleteMessages');
    const deleting = device.deleteMessages(bob, deletion);
    await deleted.came;
    await harness.say([{ sender: 'bob', content: { text: 'new' } }]);
    const { messages } = await harness.history.sync({ ...alice, count: 1 }).collect();
    expect(device.receive(bob, messages)).toBe(1);
    deleted.release();
    await deleting;
    await expectEqual(device);
    expect(device.conversation(bob)?.lastMessage).toMatchObject({ seq: 11 });
  });

  test("is kept where it is the user's own", async () => {
    await using device = await whole(10);
    const deleted = answersTo('deleteMessages');
    const deleting = device.deleteMessages(bob, all);
    await deleted.came;
    device.append(bob, { content: { text: 'mine' } });
    await device.flush();
    deleted.release();
    await deleting;
    await expectEqual(device);
    expect(device.conversation(bob)?.lastMessage).toMatchObject({ seq: 11, text: 'mine' });
  });
});

test('an edit that makes a message match a filter is known under it', async () => {
  await harness.chat(6);
  await using device = await harness.open('alice');
  const files = { ...bob, kinds: ['file'] } as const;
  expect(await new Reader(device, files).session.more(10)).toBe(0);
  await device.edit(bob, 3, { files: [{ url: 'https://files.example/x', name: 'x' }] });
  const reader = new Reader(device, files);
  expect(await reader.session.more(10)).toBe(1);
  expect(reader.seqs).toEqual([3]);
});

test('what was erased stays so when a page comes late', async () => {
  await harness.chat(20);
  await using device = await harness.open('alice');
  await device.refresh();
  const page = answersTo('sync');
  const syncing = new Reader(device, bob).session.sync(20);
  await page.came;
  await harness.directory.eraseUser('alice');
  await device.refresh();
  page.release();
  expect(await syncing).toBe(0);
  await expectEqual(device);
  expect(device.counts(bob).stored).toBe(0);
});

test('corrections of two processes that cross bring nothing back', async () => {
  const path = harness.path();
  const own = range(1, 700).map((n) => ({ sender: 'alice', content: { text: `${n}` } }));
  await harness.say(own);
  await using one = await harness.open('alice', path);
  await one.refresh();
  await new Reader(one, bob).session.more(1_000);
  await using other = await harness.open('alice', path);
  await harness.history.edit({ ...alice, seq: 1, content: { text: 'edited' } });

  // The other's answer has the edit alone; the one's hides the message in the first of two frames.
  const late = answersTo('changes');
  const correcting = new Reader(other, bob).session.sync(1);
  await late.came;
  await harness.history.delete({ ...alice, scope: 'for-me', seqs: [1] });
  const seqs = range(2, 651);
  await harness.history.delete({ ...alice, scope: 'for-everyone', seqs });
  const met = Promise.withResolvers<void>();
  const last = Promise.withResolvers<void>();
  let frames = 0;
  harness.relay.watch = ({ method }) => {
    if (method !== 'changes' || ++frames !== 2) return;
    met.resolve();
    return last.promise;
  };
  const correctingToo = new Reader(one, bob).session.sync(1);
  await met.promise;
  const store = harness.look('alice', path);
  const { id } = store.conversation(bob)!;
  await eventually(() => expect(store.revisionOf(id, 1)).toBeUndefined());
  store.sqlite.close();
  late.release();
  await correcting;
  last.resolve();
  await correctingToo;
  harness.relay.watch = undefined;
  await expectEqual(one);
});

test('a mark beyond the newest message does not swallow one that is set meanwhile', async () => {
  await harness.chat(5);
  await using device = await harness.open('alice');
  await device.refresh();
  device.markRead(bob, 8);
  const marked = answersTo('markRead');
  const flushing = device.flush();
  await marked.came;
  await harness.say([{ sender: 'bob', content: { text: 'new' } }]);
  const { messages } = await harness.history.sync({ ...alice, count: 1 }).collect();
  device.receive(bob, messages);
  device.markRead(bob, 6);
  marked.release();
  await flushing;
  expect(device.conversation(bob)?.marks.readSeq).toBe(6);
  expect((await harness.history.markRead({ ...alice, seq: 0 })).readSeq).toBe(6n);
});

test('a mark that was refused is none of what comes later', async () => {
  await using device = await harness.open('alice');
  const members = [{ user: 'bob' }];
  await harness.directory.createGroup({ user: 'dave', group: 'room', members });
  const room = { group: 'room' };
  device.markRead(room, 99);
  await device.flush();
  await harness.directory.addMembers({ ...room, members: [{ user: 'alice' }] });
  await harness.say([{ sender: 'bob', content: { text: 'one' } }], room);
  await device.refresh();
  expect(device.conversation(room)).toMatchObject({ unread: 1, marks: { readSeq: 0 } });
  device.markRead(room);
  await device.flush();
  expect((await harness.history.markRead({ user: 'alice', ...room, seq: 0 })).readSeq).toBe(1n);
});
