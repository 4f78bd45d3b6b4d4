import fc from 'fast-check';
import { expect, it } from 'vitest';
import { minus } from '../../../services/history/domain/unread.ts';
import type { Closed } from '../../../services/history/store/intervals.ts';

const seq = fc.integer({ min: 1, max: 40 });
const runs = fc.array(
  fc.tuple(seq, seq).map(([a, b]): Closed => ({ from: Math.min(a, b), to: Math.max(a, b) })),
);

it('takes runs away from intervals as seq by seq', () => {
  fc.assert(
    fc.property(fc.uniqueArray(seq, { maxLength: 12 }), runs, (borders, gone) => {
      const sorted = borders.toSorted((a, b) => a - b);
      const intervals = sorted.flatMap((from, n): Closed[] =>
        n % 2 === 0 && sorted[n + 1] !== undefined ? [{ from, to: sorted[n + 1]! }] : [],
      );
      const without = new Set(gone.flatMap(seqsOf));
      const left = minus(intervals, gone);
      expect(left.flatMap(seqsOf)).toEqual(
        intervals.flatMap(seqsOf).filter((one) => !without.has(one)),
      );
      expect(left.every(({ from, to }) => from <= to)).toBe(true);
    }),
    { numRuns: 1_000 },
  );
});

function seqsOf({ from, to }: Closed): number[] {
  return Array.from({ length: to - from + 1 }, (_, n) => from + n);
}
