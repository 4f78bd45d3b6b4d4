import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Routine } from '../../clients/device/routine.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** When each round began, in milliseconds since the first one could. */
function timed(round: () => Promise<number>) {
  const began: number[] = [];
  const failures: unknown[] = [];
  const startMs = Date.now();
  const routine = new Routine(
    (signal) => {
      expect(signal.aborted).toBe(false);
      began.push(Date.now() - startMs);
      return round();
    },
    (error) => failures.push(error),
  );
  return { routine, began, failures };
}

test('does a round at once, and again when its time has come or it is woken', async () => {
  const { routine, began } = timed(async () => 1_000);
  routine.wake();
  routine.start();
  routine.start();
  await vi.advanceTimersByTimeAsync(2_500);
  expect(began).toEqual([0, 1_000, 2_000]);
  routine.wake();
  routine.wake();
  await vi.advanceTimersByTimeAsync(1_200);
  expect(began).toEqual([0, 1_000, 2_000, 2_500, 3_500]);
  await routine.stop();
  routine.wake();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(began).toHaveLength(5);
  expect(vi.getTimerCount()).toBe(0);
});

test('a wake during a round is not lost', async () => {
  let woken = false;
  const { routine, began } = timed(async () => {
    if (!woken) routine.wake();
    woken = true;
    return 60_000;
  });
  routine.start();
  await vi.advanceTimersByTimeAsync(0);
  expect(began).toEqual([0, 0]);
  await routine.stop();
});

test('a round that fails is repeated after longer and longer pauses, however often it is woken', async () => {
  let fails = true;
  const { routine, began, failures } = timed(async () => {
    if (fails) throw new Error('no');
    return 60_000;
  });
  routine.start();
  for (let n = 0; n < 1_000; n++) {
    routine.wake();
    await vi.advanceTimersByTimeAsync(100);
  }
  const pauses = began.slice(1).map((at, n) => at - began[n]!);
  expect(failures).toHaveLength(began.length);
  for (const [n, pause] of pauses.entries()) {
    const longest = Math.min(100 * 2 ** n, 15_000);
    expect(pause).toBeGreaterThanOrEqual(longest / 2 - 1);
    expect(pause).toBeLessThanOrEqual(longest + 1);
  }
  expect(pauses.length).toBeGreaterThan(10);

  // Once one succeeds, the pauses begin anew.
  fails = false;
  await vi.advanceTimersByTimeAsync(15_001);
  fails = true;
  const before = began.length;
  routine.wake();
  await vi.advanceTimersByTimeAsync(151);
  expect(began.length).toBeGreaterThan(before + 1);
  await routine.stop();
});

test('stops in the middle of a round or a pause, and starts again after it', async () => {
  const underWay = Promise.withResolvers<number>();
  const { routine, began } = timed(() => underWay.promise);
  routine.start();
  await vi.advanceTimersByTimeAsync(10);
  let stopped = false;
  const stopping = routine.stop().then(() => {
    stopped = true;
  });
  routine.start();
  await vi.advanceTimersByTimeAsync(10);
  expect([began.length, stopped]).toEqual([1, false]);
  underWay.resolve(1_000);
  await stopping;
  await vi.advanceTimersByTimeAsync(10);
  expect(began).toHaveLength(2);
  await routine.stop();
  expect(vi.getTimerCount()).toBe(0);
});
