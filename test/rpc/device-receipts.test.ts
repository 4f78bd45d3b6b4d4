import { expect, test } from 'vitest';
import type { Device } from '../../clients/device/index.ts';
import type {
  MarkDeliveredRequest,
  MarkReadRequest,
} from '../../clients/gen/backscroll/history/v1/inbox_pb.ts';
import { eventually } from '../support/eventually.ts';
import { harness, Reader, range, useHarness } from './device-harness.ts';

const bob = { peer: 'bob' };

useHarness();

/** What bob said, `1` to `count` by their texts. */
async function fromBob(count: number, where: { group: string } | undefined = undefined) {
  const messages = range(1, count).map((n) => ({ sender: 'bob', content: { text: `${n}` } }));
  await harness.say(messages, where);
}

/** The marks that were sent, in their order. */
function sent(): [string, number][] {
  return harness.relay.calls
    .filter(({ method }) => method === 'markRead' || method === 'markDelivered')
    .map(({ method, request }) => [
      method,
      Number((request as MarkReadRequest | MarkDeliveredRequest).seq),
    ]);
}

/** Alice's marks as the service has them. */
async function marks(peer = 'bob') {
  const page = harness.history.sync({ user: 'alice', peer, count: 1 });
  for await (const _ of page.frames());
  const { marks } = await page.result;
  return [Number(marks?.readSeq), Number(marks?.deliveredSeq)];
}

/** Lets a device send all marks that have risen so far: those of one round are sent before the next. */
async function settle(device: Device): Promise<void> {
  device.start();
  for (const _ of range(1, 2)) {
    const said = device.append({ peer: 'carol' }, {});
    await new Promise<void>((resolve) => {
      device.on('sent', (id) => id === said && resolve());
    });
  }
}

test('what a session with receipts reads is marked as read, once', async () => {
  await fromBob(20);
  await using device = await harness.open('alice');
  const { session } = new Reader(device, { ...bob, receipts: true });
  expect(await session.more(5)).toBe(5);
  expect(await session.more(5)).toBe(5);
  expect(device.counts(bob).unread).toBe(0);
  expect(sent()).toEqual([]);
  await settle(device);
  expect(sent()).toEqual([['markRead', 20]]);
  expect(await marks()).toEqual([20, 20]);
  expect(await session.more(10)).toBe(10);
  await settle(device);
  expect(sent()).toEqual([['markRead', 20]]);
});

test('what a session without receipts reads is not, but was delivered', async () => {
  await fromBob(20);
  await using device = await harness.open('alice');
  await new Reader(device, bob).session.more(5);
  await settle(device);
  expect(sent()).toEqual([['markDelivered', 20]]);
  expect(await marks()).toEqual([0, 20]);
  await settle(device);
  expect(sent()).toHaveLength(1);
});

test('what is not held up to the newest message was not delivered, nor what is said in a group', async () => {
  await fromBob(20);
  await fromBob(20, { group: 'room' });
  await using device = await harness.open('alice');
  await new Reader(device, { ...bob, order: 'oldest-first' }).session.more(5);
  await harness.directory.addMembers({ group: 'room', members: [{ user: 'alice' }] });
  await new Reader(device, { group: 'room' }).session.more(5);
  await settle(device);
  expect(sent()).toEqual([]);
});

test('the highest mark alone is sent, once there is a connection', async () => {
  await fromBob(20);
  await using device = await harness.open('alice');
  await new Reader(device, bob).session.sync(20);
  harness.relay.isCut = true;
  const failed = new Promise((resolve) => device.once('problem', resolve));
  device.markRead(bob, 3);
  device.start();
  await failed;
  device.markRead(bob, 7);
  device.markRead(bob, 5);
  expect(device.counts(bob).unread).toBe(13);
  const before = sent().length;
  harness.relay.isCut = false;
  await eventually(async () => expect(await marks()).toEqual([7, 20]));
  expect(sent().slice(before)).toEqual([
    ['markRead', 7],
    ['markDelivered', 20],
  ]);
});

test('a mark beyond the newest message stands at that one, and rises with the next', async () => {
  await fromBob(3);
  await using device = await harness.open('alice');
  device.markRead(bob, 1_000);
  await settle(device);
  expect(await marks()).toEqual([3, 3]);
  await fromBob(2);
  await new Reader(device, bob).session.sync(5);
  expect(device.counts(bob).unread).toBe(2);
  device.markRead(bob);
  await settle(device);
  expect(await marks()).toEqual([5, 5]);
});

test('what is no mark, or in no conversation, is refused at once', async () => {
  await using device = await harness.open('alice');
  for (const seq of [0, -1, 1.5, Number.NaN]) {
    expect(() => device.markRead(bob, seq)).toThrow('seq: must be a whole number');
  }
  expect(() => device.markRead({ peer: '' }, 1)).toThrow('peer: is required');
  expect(() => device.receive({ group: '\n' }, [])).toThrow('group: must not hold');
});

test('a mark that is refused is not sent again', async () => {
  await using device = await harness.open('alice');
  device.markRead({ group: 'nowhere' }, 5);
  await settle(device);
  await settle(device);
  expect(sent()).toEqual([['markRead', 5]]);
});
