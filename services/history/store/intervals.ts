/** Seqs that a user may see, both ends inclusive; without `to` whatever comes is seen as well. */
export interface Interval {
  readonly from: number;
  readonly to?: number;
}

/** An interval with an end. */
export interface Closed {
  readonly from: number;
  readonly to: number;
}

/** Reads intervals as `member.intervals` holds them: ascending and disjoint, as all functions here give them. */
export function readIntervals(column: Uint8Array): Interval[] {
  const pairs = JSON.parse(Buffer.from(column).toString()) as [number, number?][];
  return pairs.map(([from, to]) => (to === undefined ? { from } : { from, to }));
}

/** Writes intervals for `member.intervals`. */
export function writeIntervals(intervals: readonly Interval[]): Buffer {
  return Buffer.from(
    JSON.stringify(intervals.map(({ from, to }) => (to === undefined ? [from] : [from, to]))),
  );
}

/** What somebody may see who saw `intervals`, none of them open, and joins to see all from `fromSeq` on. */
export function joined(intervals: readonly Interval[], fromSeq: number): Interval[] {
  const apart = intervals.filter(({ to }) => to !== undefined && to < fromSeq - 1);
  const touching = intervals[apart.length];
  return [...apart, { from: Math.min(fromSeq, touching?.from ?? fromSeq) }];
}

/** What somebody may see who saw `intervals` and leaves after `lastSeq`. */
export function left(intervals: readonly Interval[], lastSeq: number): Interval[] {
  return clip(intervals, 1, lastSeq);
}

/** The part of `intervals` from `firstSeq` to `lastSeq`. */
export function clip(intervals: readonly Interval[], firstSeq: number, lastSeq: number): Closed[] {
  return intervals
    .map(({ from, to = lastSeq }) => ({
      from: Math.max(from, firstSeq),
      to: Math.min(to, lastSeq),
    }))
    .filter(({ from, to }) => from <= to);
}
