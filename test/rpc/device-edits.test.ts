import { expect, test } from 'vitest';
import type { Device } from '../../clients/device/index.ts';
import { harness, Reader, range, useHarness } from './device-harness.ts';

const bob = { peer: 'bob' };

useHarness();

/** A device of alice's that holds the messages `1` to `5` of the chat with bob; hers are the odd ones. */
async function openSynced(): Promise<Device> {
  await harness.chat(5);
  const device = await harness.open('alice');
  await new Reader(device, bob).session.more(5);
  return device;
}

/** What a device reads without a connection, in its order. */
function held(device: Device): string[] {
  const reader = new Reader(device, { ...bob, order: 'oldest-first' });
  reader.session.read(100);
  return reader.messages.map((m) => (m.deletedAtMs > 0 ? `${m.seq} deleted` : m.text));
}

/** Revisions since which changes were asked for. */
const asked = () =>
  harness.relay.calls
    .filter(({ method }) => method === 'changes')
    .map(({ request }) => Number((request as unknown as { sinceRevision: bigint }).sinceRevision));

test('an edited message is held as the service answered it', async () => {
  await using device = await openSynced();
  const edited = await device.edit(bob, 3, { text: 'three' });
  expect(edited).toMatchObject({ seq: 3, text: 'three', revision: 1, status: 'read' });
  expect(edited.editedAtMs).toBeGreaterThan(0);
  expect(held(device)).toEqual(['1', '2', 'three', '4', '5']);
  await new Reader(device, bob).session.sync(5);
  // It was known that nothing else had changed up to then.
  expect(asked()).toEqual([1]);
});

test('an edit does not hide what others changed before it', async () => {
  await using device = await openSynced();
  await harness.history.edit({ user: 'bob', peer: 'alice', seq: 2, content: { text: 'two' } });
  expect(await device.edit(bob, 3, { text: 'three' })).toMatchObject({ revision: 2 });
  expect(held(device)).toEqual(['1', '2', 'three', '4', '5']);
  // Saying the same again changes nothing, though its answer tells what somebody else changed.
  await harness.history.edit({ user: 'bob', peer: 'alice', seq: 4, content: { text: 'four' } });
  await device.edit(bob, 3, { text: 'three' });
  await new Reader(device, bob).session.sync(5);
  expect(asked()).toEqual([0]);
  expect(held(device)).toEqual(['1', 'two', 'three', 'four', '5']);
});

test('an edit that comes too late, or is not the own, fails with its reason', async () => {
  await using device = await openSynced();
  await device.edit(bob, 3, { text: 'three' }, 0);
  await expect(device.edit(bob, 3, { text: '3' }, 0)).rejects.toMatchObject({
    reason: 'REVISION_MISMATCH',
  });
  await expect(device.edit(bob, 2, { text: 'two' })).rejects.toMatchObject({
    reason: 'NOT_THE_SENDER',
  });
  harness.relay.isCut = true;
  await expect(device.edit(bob, 1, { text: 'one' })).rejects.toMatchObject({
    reason: 'UNAVAILABLE',
  });
  await expect(device.deleteMessages(bob, { scope: 'for-me', seqs: [1] })).rejects.toMatchObject({
    reason: 'UNAVAILABLE',
  });
  expect(held(device)).toEqual(['1', '2', 'three', '4', '5']);
});

test('a message that is not held is edited, and stays to be fetched', async () => {
  await harness.chat(5);
  await using device = await harness.open('alice');
  expect(await device.edit(bob, 3, { text: 'three' })).toMatchObject({ seq: 3, text: 'three' });
  expect(held(device)).toEqual([]);
  await new Reader(device, bob).session.more(5);
  expect(held(device)).toEqual(['1', '2', 'three', '4', '5']);
});

test('what is deleted for everyone leaves tombstones, here as anywhere', async () => {
  await using device = await openSynced();
  expect(await device.deleteMessages(bob, { scope: 'for-everyone', seqs: [1, 3] })).toBe(2);
  expect(held(device)).toEqual(['1 deleted', '2', '3 deleted', '4', '5']);
  expect(await device.deleteMessages(bob, { scope: 'for-everyone', seqs: [1, 3] })).toBe(0);
  expect(await device.deleteMessages(bob, { scope: 'for-everyone', upToSeq: 5 })).toBe(1);
  expect(held(device)).toEqual(['1 deleted', '2', '3 deleted', '4', '5 deleted']);
  await expect(
    device.deleteMessages(bob, { scope: 'for-everyone', seqs: [2] }),
  ).rejects.toMatchObject({ reason: 'NOT_THE_SENDER' });
});

test('what is deleted for the user alone is gone, and is not fetched again', async () => {
  await using device = await openSynced();
  expect(await device.deleteMessages(bob, { scope: 'for-me', seqs: [2, 4] })).toBe(2);
  expect(held(device)).toEqual(['1', '3', '5']);
  await device.deleteMessages(bob, { scope: 'for-me', upToSeq: 3 });
  expect(held(device)).toEqual(['5']);
  await device.deleteMessages(bob, { scope: 'for-me', upToSeq: 1_000 });
  expect(held(device)).toEqual([]);
  const pages = harness.relay.fetched();
  await harness.chat(2);
  const { session, ...reader } = new Reader(device, bob);
  expect(await session.more(10)).toBe(2);
  expect(reader.messages.map(({ seq }) => seq)).toEqual([7, 6]);
  expect([...harness.relay.fetched().keys()].filter((seq) => !pages.has(seq))).toEqual([7, 6]);
});

test('counts what is stored, unread and waiting', async () => {
  await harness.say(range(1, 30).map((n) => ({ sender: 'bob', content: { text: `${n}` } })));
  await using device = await harness.open('alice');
  expect(device.counts(bob)).toEqual({ stored: 0, unread: 0, waiting: 0 });
  await new Reader(device, bob).session.more(20);
  expect(device.counts(bob)).toEqual({ stored: 20, unread: 20, waiting: 0 });
  await harness.history.delete({ user: 'bob', peer: 'alice', scope: 'for-everyone', seqs: [30] });
  await new Reader(device, bob).session.sync(30);
  expect(device.counts(bob)).toEqual({ stored: 30, unread: 29, waiting: 0 });
  device.markRead(bob, 10);
  device.append(bob, { content: { text: 'said' } });
  expect(device.counts(bob)).toEqual({ stored: 30, unread: 19, waiting: 1 });
});

test('more than a thousand unread messages are not counted', async () => {
  await harness.say(range(1, 1_200).map((n) => ({ sender: 'bob', content: { text: `${n}` } })));
  await using device = await harness.open('alice');
  await new Reader(device, bob).session.sync(1_200);
  expect(device.counts(bob)).toMatchObject({ stored: 1_200, unread: 1_001 });
  device.markRead(bob, 200);
  expect(device.counts(bob)).toMatchObject({ unread: 1_000 });
});

test('keeps settings of the app', async () => {
  const database = harness.path();
  {
    await using device = await harness.open('alice', database);
    expect(device.setting('theme')).toBeUndefined();
    device.setSetting('theme', 'light');
    device.setSetting('theme', 'dark');
    device.setSetting('sound', '');
  }
  await using device = await harness.open('alice', database);
  expect(device.setting('theme')).toBe('dark');
  expect(device.setting('sound')).toBe('');
  device.setSetting('theme', undefined);
  expect(device.setting('theme')).toBeUndefined();
});
