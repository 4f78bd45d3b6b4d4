import { expect, test } from 'vitest';
import { type Device, RESTORE } from '../../clients/device/index.ts';
import type { Answer } from '../support/history-relay.ts';
import { harness, Reader, useHarness } from './device-harness.ts';

const bob = { peer: 'bob' };
const HUGE = 2n ** 60n;

useHarness();

/** What a service answers that is at fault: the method, what becomes of its answer, and who asks. */
type Fault = readonly [
  method: string,
  alter: (answer: Record<string, unknown>) => void,
  ask: (device: Device) => unknown,
];

const read = (device: Device) => new Reader(device, bob).session.sync(10);
const send = (device: Device) => {
  device.append(bob, { content: { text: 'mine' } });
  return device.flush();
};
const edit = (device: Device) => device.edit(bob, 1, { text: 'edited' });
const hide = (device: Device) => device.deleteMessages(bob, { scope: 'for-me', seqs: [2] });
const refresh = (device: Device) => device.refresh();

/** Alters what stands in the last frame of a stream. */
const ofResult = (fields: object) => (answer: Record<string, unknown>) => {
  if (answer.result) Object.assign(answer.result, fields);
};

/** Alters the first conversation of a page of the inbox. */
const ofFirst = (fields: object) => (answer: Record<string, unknown>) => {
  const [first] = answer.conversations as object[];
  if (first) Object.assign(first, fields);
};

test.each<Fault>([
  ['listConversations', (answer) => Object.assign(answer, { userRevision: HUGE }), refresh],
  ['append', (answer) => Object.assign(answer, { messages: [] }), send],
  ['append', ({ messages }) => Object.assign((messages as object[])[0]!, { seq: 0n }), send],
  ['append', ({ messages }) => Object.assign((messages as object[])[0]!, { seq: HUGE }), send],
  ['editMessage', (answer) => Object.assign(answer, { message: undefined }), edit],
  ['editMessage', (answer) => Object.assign(answer, { revision: HUGE }), edit],
  ['deleteMessages', (answer) => Object.assign(answer, { revision: HUGE }), hide],
  ['changes', ofResult({ revision: HUGE, lastSeq: HUGE, floorSeq: 0n }), read],
  ['sync', ofResult({ fromSeq: 0n, reachedOldest: false }), read],
  ['sync', ofResult({ lastSeq: 2n ** 53n }), read],
  ['listConversations', ofFirst({ userRevision: HUGE }), refresh],
  ['listConversations', ofFirst({ conversation: { case: 'group', value: '' } }), refresh],
  [
    'listConversations',
    ofFirst({ conversation: { case: 'peer', value: 'x'.repeat(256) } }),
    refresh,
  ],
])('%s: a wrong answer (%#) spoils no database', async (method, alter, ask) => {
  await harness.chat(3);
  const database = harness.path();
  const copy = harness.path();
  {
    await using device = await harness.open('alice', database);
    if (method !== 'listConversations') await device.refresh();
    if (method !== 'sync') await new Reader(device, bob).session.more(10);
    let altered = 0;
    harness.relay.watch = (call, answer: Answer) => {
      if (call.method !== method) return;
      altered += 1;
      alter(answer as unknown as Record<string, unknown>);
    };
    await Promise.resolve(ask(device)).catch(() => {});
    expect(altered).toBeGreaterThan(0);
    harness.relay.watch = undefined;
    device.setSetting('kept', 'yes');
    expect(await device.backupDatabase(copy)).toBe(copy);
  }
  await using device = await harness.open('alice', database);
  await device.flush();
  await harness.say([{ sender: 'bob', content: { text: 'later' } }]);
  await device.refresh();
  await new Reader(device, bob).session.sync(10);
  const reader = new Reader(device, bob);
  await reader.session.more(10);
  const { messages } = await harness.history.sync({ user: 'alice', ...bob }).collect();
  expect(reader.texts).toEqual(messages.map(({ content }) => content?.text));
  await using other = await harness.open('alice');
  expect(await other.restoreDatabase(copy), other.lastError?.message).toBe(RESTORE.done);
  expect(other.setting('kept')).toBe('yes');
});

const more = (device: Device) => new Reader(device, bob).session.more(10);

test.each<Fault>([
  [
    'sync',
    (answer) => {
      Object.assign(answer, { messages: [] });
      ofResult({ count: 10n, reachedOldest: false, fromSeq: 3n })(answer);
    },
    more,
  ],
  ['listConversations', (answer) => Object.assign(answer, { nextPageToken: 'odd' }), refresh],
])('%s: what never ends is not asked for without end', async (method, alter, ask) => {
  await harness.chat(3);
  await using device = await harness.open('alice');
  harness.relay.watch = (call, answer: Answer) => {
    if (call.method === method) alter(answer as unknown as Record<string, unknown>);
  };
  await Promise.resolve(ask(device)).catch(() => {});
  const calls = harness.relay.calls.filter((call) => call.method === method);
  expect(calls.length).toBeLessThan(10);
});
