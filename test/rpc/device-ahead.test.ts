import { describe, expect, test } from 'vitest';
import { harness, Reader, useHarness } from './device-harness.ts';

const bob = { peer: 'bob' };
const none = { readable: 0, lacking: false };
const unknown = { readable: 0, lacking: true };

useHarness();

describe('what is ahead of a session', () => {
  test('is unknown on a new device, and then known to its end, without a call', async () => {
    await harness.chat(20);
    await using device = await harness.open('alice');
    const { session } = new Reader(device, bob);
    expect(session.ahead(5)).toEqual(unknown);
    expect(await session.more(5)).toBe(5);
    expect(session.ahead(5)).toEqual(unknown);
    expect(await session.sync(15)).toBe(15);
    harness.relay.calls.length = 0;
    expect(session.ahead(15)).toEqual({ readable: 15, lacking: false });
    expect(session.ahead(16)).toEqual({ readable: 15, lacking: false });
    expect(session.read(15)).toBe(15);
    expect(session.ahead(1)).toEqual(none);
    const oldest = new Reader(device, { ...bob, order: 'oldest-first' }).session;
    expect(oldest.ahead(50)).toEqual({ readable: 20, lacking: false });
    expect(oldest.read(50)).toBe(20);
    expect(oldest.ahead(1)).toEqual(none);
    expect(harness.relay.calls).toEqual([]);
  });

  test('ends before a hole, also where that is read across', async () => {
    await harness.chat(30);
    await using device = await harness.open('alice');
    await new Reader(device, bob).session.more(10);
    await new Reader(device, { ...bob, order: 'oldest-first' }).session.more(5);
    for (const acrossHoles of [false, true]) {
      const { session } = new Reader(device, { ...bob, acrossHoles });
      expect(session.ahead(10)).toEqual({ readable: 10, lacking: false });
      expect(session.ahead(11)).toEqual({ readable: 10, lacking: true });
      expect(session.read(10)).toBe(10);
      expect(session.ahead(1)).toEqual(unknown);
      if (!acrossHoles) continue;
      expect(session.read(1)).toBe(1);
      expect(session.ahead(5)).toEqual({ readable: 4, lacking: false });
    }
  });

  test('counts what waits in the outbox, at its end of the conversation', async () => {
    await harness.chat(3);
    await using device = await harness.open('alice');
    await new Reader(device, bob).session.more(3);
    await new Reader(device, bob).session.sync(1);
    device.append(bob, { content: { text: 'waits' } });
    for (const order of ['newest-first', 'oldest-first'] as const) {
      const { session } = new Reader(device, { ...bob, order });
      expect(session.ahead(9)).toEqual({ readable: 4, lacking: false });
      expect(session.read(3)).toBe(3);
      expect(session.ahead(9)).toEqual({ readable: 1, lacking: false });
      expect(session.read(9)).toBe(1);
      expect(session.ahead(9)).toEqual(none);
    }
  });

  test('is unknown where something is known to have changed', async () => {
    await harness.chat(3);
    await using device = await harness.open('alice');
    const { session } = new Reader(device, bob);
    await session.more(4);
    expect(session.ahead(1)).toEqual(none);
    await device.refresh();
    const seq = 1;
    await harness.history.edit({ user: 'alice', ...bob, seq, content: { text: 'one' } });
    await device.refresh();
    expect(session.ahead(1)).toEqual(unknown);
    expect(await session.sync(1)).toBe(0);
    expect(session.ahead(1)).toEqual(none);
  });

  test('is known of an inbox once that was listed', async () => {
    for (const peer of ['bob', 'carol', 'dave']) await harness.chat(1, { user: 'alice', peer });
    await using device = await harness.open('alice');
    const inbox = device.readSummary(() => {});
    expect(inbox.ahead(1)).toEqual(unknown);
    expect(await inbox.more(2)).toBe(2);
    expect(inbox.ahead(1)).toEqual(unknown);
    expect(await inbox.sync(2)).toBe(1);
    expect(inbox.ahead(2)).toEqual({ readable: 1, lacking: false });
    expect(inbox.read(2)).toBe(1);
    expect(inbox.ahead(1)).toEqual(none);
  });

  test('of nothing is refused', async () => {
    await using device = await harness.open('alice');
    const { session } = new Reader(device, bob);
    for (const count of [-1, 1.5, Number.NaN]) expect(() => session.ahead(count)).toThrow(/count/);
  });
});
