import { describe, expect, it } from 'vitest';
import { pickPage, type Spot } from '../../../services/history/domain/page.ts';
import type { View } from '../../../services/history/domain/view.ts';
import { inView, type Reading, Walk } from '../../../services/history/domain/walk.ts';
import type { Closed } from '../../../services/history/store/intervals.ts';

const below = (seq: number) => ({ side: 'below', seq }) as const;
const from = (seq: number) => ({ side: 'from', seq }) as const;
const around = (seq: number) => ({ side: 'around', seq }) as const;

/** A page of a view in which nothing is hidden or expires: no database is asked. */
function pick(
  seen: Pick<View, 'intervals' | 'floorSeq' | 'lastSeq'>,
  spot: Spot,
  count: number,
  untilSeq = 0,
) {
  const view = { ...seen, hides: false, expiring: false } as View;
  const reading = { view, nowMs: 0, signal: new AbortController().signal } as Reading;
  const walkWithin = (range: Closed, falling: boolean) =>
    new Walk(reading, inView(view, range, falling), falling);
  return pickPage(walkWithin, view, spot, { count, untilSeq });
}

describe('a page of a conversation that is seen from 5 to 9', () => {
  const seen = { intervals: [{ from: 5, to: 9 }], floorSeq: 5, lastSeq: 9 };
  it.each([
    [below(10), 2, { fromSeq: 8, toSeq: 9, reachedOldest: false, reachedNewest: true }],
    [below(10), 9, { fromSeq: 5, toSeq: 9, reachedOldest: true, reachedNewest: true }],
    [below(9), 2, { fromSeq: 7, toSeq: 8, reachedOldest: false, reachedNewest: false }],
    [below(6), 2, { fromSeq: 5, toSeq: 5, reachedOldest: true, reachedNewest: false }],
    [below(5), 2, { fromSeq: 5, toSeq: 4, reachedOldest: true, reachedNewest: false }],
    [below(2), 2, { fromSeq: 2, toSeq: 1, reachedOldest: true, reachedNewest: false }],
    [below(50), 1, { fromSeq: 9, toSeq: 9, reachedOldest: false, reachedNewest: true }],
    [from(1), 2, { fromSeq: 5, toSeq: 6, reachedOldest: true, reachedNewest: false }],
    [from(6), 2, { fromSeq: 6, toSeq: 7, reachedOldest: false, reachedNewest: false }],
    [from(8), 2, { fromSeq: 8, toSeq: 9, reachedOldest: false, reachedNewest: true }],
    [from(10), 2, { fromSeq: 10, toSeq: 9, reachedOldest: false, reachedNewest: true }],
    [from(71), 2, { fromSeq: 10, toSeq: 9, reachedOldest: false, reachedNewest: true }],
    [around(7), 1, { fromSeq: 7, toSeq: 7, reachedOldest: false, reachedNewest: false }],
    [around(7), 2, { fromSeq: 6, toSeq: 7, reachedOldest: false, reachedNewest: false }],
    [around(7), 3, { fromSeq: 6, toSeq: 8, reachedOldest: false, reachedNewest: false }],
    [around(5), 3, { fromSeq: 5, toSeq: 7, reachedOldest: true, reachedNewest: false }],
    [around(9), 4, { fromSeq: 6, toSeq: 9, reachedOldest: false, reachedNewest: true }],
    [around(0), 2, { fromSeq: 5, toSeq: 6, reachedOldest: true, reachedNewest: false }],
    [around(70), 1, { fromSeq: 9, toSeq: 9, reachedOldest: false, reachedNewest: true }],
    [around(7), 70, { fromSeq: 5, toSeq: 9, reachedOldest: true, reachedNewest: true }],
  ])('%o, %i', async (spot, count, expected) => {
    const page = await pick(seen, spot, count);
    expect(page).toMatchObject(expected);
    const { fromSeq, toSeq } = page;
    expect(page.runs).toEqual(fromSeq > toSeq ? [] : [{ from: fromSeq, to: toSeq }]);
  });
});

describe('a page of a conversation that is seen in parts', () => {
  const intervals = [
    { from: 2, to: 4 },
    { from: 8, to: 8 },
    { from: 20, to: 30 },
  ];
  it.each([
    [below(31), 12, [{ from: 8, to: 8 }, intervals[2]], 8, 30],
    [below(20), 2, [{ from: 4, to: 4 }, intervals[1]], 4, 19],
    [below(31), 15, intervals, 1, 30],
    [from(5), 3, [intervals[1], { from: 20, to: 21 }], 5, 21],
    [around(12), 2, [intervals[1], { from: 20, to: 20 }], 8, 20],
  ])('%o, %i', async (spot, count, runs, fromSeq, toSeq) => {
    const seen = { intervals, floorSeq: 1, lastSeq: 30 };
    expect(await pick(seen, spot, count)).toMatchObject({ runs, fromSeq, toSeq });
  });
});

describe('a page that ends at a seq', () => {
  const intervals = [
    { from: 2, to: 4 },
    { from: 8, to: 8 },
    { from: 20, to: 30 },
  ];
  it.each([
    [below(31), 50, 8, { fromSeq: 8, toSeq: 30, reachedOldest: false, reachedNewest: true }],
    [below(31), 50, 5, { fromSeq: 5, toSeq: 30, reachedOldest: false, reachedNewest: true }],
    [below(31), 50, 2, { fromSeq: 2, toSeq: 30, reachedOldest: true, reachedNewest: true }],
    [below(31), 50, 1, { fromSeq: 2, toSeq: 30, reachedOldest: true, reachedNewest: true }],
    [below(31), 3, 8, { fromSeq: 28, toSeq: 30, reachedOldest: false, reachedNewest: true }],
    [below(9), 50, 9, { fromSeq: 9, toSeq: 8, reachedOldest: false, reachedNewest: false }],
    [below(9), 50, 12, { fromSeq: 12, toSeq: 11, reachedOldest: false, reachedNewest: false }],
    [below(9), 50, 99, { fromSeq: 31, toSeq: 30, reachedOldest: false, reachedNewest: true }],
    [from(1), 50, 8, { fromSeq: 2, toSeq: 8, reachedOldest: true, reachedNewest: false }],
    [from(1), 50, 19, { fromSeq: 2, toSeq: 19, reachedOldest: true, reachedNewest: false }],
    [from(5), 50, 99, { fromSeq: 5, toSeq: 30, reachedOldest: false, reachedNewest: true }],
    [from(9), 50, 8, { fromSeq: 9, toSeq: 8, reachedOldest: false, reachedNewest: false }],
    [from(9), 50, 6, { fromSeq: 7, toSeq: 6, reachedOldest: false, reachedNewest: false }],
    [from(9), 50, 1, { fromSeq: 2, toSeq: 1, reachedOldest: true, reachedNewest: false }],
  ])('%o, %i, until %i', async (spot, count, untilSeq, expected) => {
    const seen = { intervals, floorSeq: 2, lastSeq: 30 };
    expect(await pick(seen, spot, count, untilSeq)).toMatchObject(expected);
  });
});

describe('a page where nothing is seen', () => {
  it.each([below(1), below(4), from(1), from(5), around(3)])('%o', async (spot) => {
    for (const floorSeq of [1, 5]) {
      const seen = { intervals: [], floorSeq, lastSeq: floorSeq - 1 };
      const page = await pick(seen, spot, 10);
      expect(page).toMatchObject({ runs: [], reachedOldest: true, reachedNewest: true });
      expect(page.toSeq).toBe(page.fromSeq - 1);
      expect(page.fromSeq).toBeGreaterThanOrEqual(1);
    }
  });
});
