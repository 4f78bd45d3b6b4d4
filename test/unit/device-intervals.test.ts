import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  added,
  type Interval,
  runsOf,
  stretchAbove,
  stretchBelow,
  union,
} from '../../clients/device/local/intervals.ts';

/** Seqs are tried up to here. */
const most = 40;

const interval = fc
  .tuple(fc.integer({ min: 1, max: most }), fc.integer({ min: -1, max: 8 }))
  .map(([from, more]): Interval => ({ from, to: Math.min(from + more, most) }));

const intervals = fc.array(interval, { maxLength: 12 });

/** The plain model: every seq that some interval holds. */
function seqsOf(list: readonly Interval[]): Set<number> {
  const seqs = new Set<number>();
  for (const { from, to } of list) for (let seq = from; seq <= to; seq++) seqs.add(seq);
  return seqs;
}

function setOf(list: readonly Interval[]): Interval[] {
  return list.reduce<Interval[]>(added, []);
}

/** Ascending, none empty, none touching the next. */
function isTidy(set: readonly Interval[]): boolean {
  return set.every(({ from, to }, n) => from <= to && from > (set[n - 1]?.to ?? -1) + 1);
}

test('adding intervals holds what any of them holds, and stays tidy', () => {
  fc.assert(
    fc.property(intervals, (list) => {
      const set = setOf(list);
      expect(seqsOf(set)).toEqual(seqsOf(list));
      expect(isTidy(set)).toBe(true);
    }),
  );
});

test('the order of adding does not matter, and nothing changes what it is given', () => {
  fc.assert(
    fc.property(intervals, interval, (list, one) => {
      const set = setOf(list);
      const before = structuredClone(set);
      expect(setOf(list.toReversed())).toEqual(set);
      added(set, one);
      union(set, [one]);
      expect(set).toEqual(before);
    }),
  );
});

test('a union holds what either holds', () => {
  fc.assert(
    fc.property(intervals, intervals, (a, b) => {
      const set = union(setOf(a), setOf(b));
      expect(seqsOf(set)).toEqual(new Set([...seqsOf(a), ...seqsOf(b)]));
      expect(isTidy(set)).toBe(true);
      // In any order, and touching or not.
      expect(union([], [...a, ...b])).toEqual(set);
    }),
  );
});

test('the stretch below ends where what is held changes, at 1 at the latest', () => {
  fc.assert(
    fc.property(intervals, fc.integer({ min: 1, max: most }), (list, to) => {
      const seqs = seqsOf(list);
      const stretch = stretchBelow(setOf(list), to);
      expect(stretch.to).toBe(to);
      expect(stretch.from).toBeLessThanOrEqual(to);
      for (let seq = stretch.from; seq <= to; seq++) expect(seqs.has(seq)).toBe(stretch.held);
      expect(stretch.from === 1 || seqs.has(stretch.from - 1) !== stretch.held).toBe(true);
    }),
  );
});

test('the stretch above ends where what is held changes; what is not held may never end', () => {
  fc.assert(
    fc.property(intervals, fc.integer({ min: 1, max: most }), (list, from) => {
      const seqs = seqsOf(list);
      const stretch = stretchAbove(setOf(list), from);
      expect(stretch.from).toBe(from);
      const end = Math.min(stretch.to, most + 1);
      for (let seq = from; seq <= end; seq++) expect(seqs.has(seq)).toBe(stretch.held);
      if (stretch.to === Infinity) expect(stretch.held).toBe(false);
      else expect(seqs.has(stretch.to + 1)).toBe(!stretch.held);
    }),
  );
});

test('runs are the set of single numbers, in whatever order and however often they come', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: most })), (numbers) => {
      const before = [...numbers];
      expect(runsOf(numbers)).toEqual(setOf(numbers.map((seq) => ({ from: seq, to: seq }))));
      expect(numbers).toEqual(before);
    }),
  );
});
