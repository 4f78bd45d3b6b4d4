import { describe, expect, it } from 'vitest';
import { pageOf } from '../../../services/history/domain/page.ts';

const newest = { kind: 'newest' } as const;
const below = (seq: number) => ({ kind: 'before', seq }) as const;
const above = (seq: number) => ({ kind: 'after', seq }) as const;

describe('a page of a conversation that is seen from 5 to 9', () => {
  const view = { oldest: 5, newest: 9, revision: 0 };
  it.each([
    [newest, 2, { fromSeq: 8, toSeq: 9, reachedOldest: false, reachedNewest: true }],
    [newest, 9, { fromSeq: 5, toSeq: 9, reachedOldest: true, reachedNewest: true }],
    [below(9), 2, { fromSeq: 7, toSeq: 8, reachedOldest: false, reachedNewest: false }],
    [below(6), 2, { fromSeq: 5, toSeq: 5, reachedOldest: true, reachedNewest: false }],
    [below(5), 2, { fromSeq: 5, toSeq: 4, reachedOldest: true, reachedNewest: false }],
    [below(2), 2, { fromSeq: 2, toSeq: 1, reachedOldest: true, reachedNewest: false }],
    [below(50), 1, { fromSeq: 9, toSeq: 9, reachedOldest: false, reachedNewest: true }],
    [above(0), 2, { fromSeq: 5, toSeq: 6, reachedOldest: true, reachedNewest: false }],
    [above(5), 2, { fromSeq: 6, toSeq: 7, reachedOldest: false, reachedNewest: false }],
    [above(7), 2, { fromSeq: 8, toSeq: 9, reachedOldest: false, reachedNewest: true }],
    [above(9), 2, { fromSeq: 10, toSeq: 9, reachedOldest: false, reachedNewest: true }],
    [above(70), 2, { fromSeq: 10, toSeq: 9, reachedOldest: false, reachedNewest: true }],
  ])('%o, %i', (anchor, count, expected) => {
    expect(pageOf(anchor, count, view)).toEqual(expected);
  });
});

describe('a page where nothing is seen', () => {
  it.each([newest, below(1), below(4), above(0), above(4)])('%o', (anchor) => {
    for (const view of [
      { oldest: 1, newest: 0, revision: 0 },
      { oldest: 5, newest: 4, revision: 0 },
    ]) {
      const page = pageOf(anchor, 10, view);
      expect(page).toMatchObject({ reachedOldest: true, reachedNewest: true });
      expect(page.toSeq).toBe(page.fromSeq - 1);
      expect(page.fromSeq).toBeGreaterThanOrEqual(1);
    }
  });
});
