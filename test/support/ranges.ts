/** Seqs from one to another, both inclusive. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

/** The seqs of `known` and of one more range, as disjoint ranges in ascending order. */
export function cover(known: readonly Range[], more: Range): Range[] {
  if (more.from > more.to) return [...known];
  const apart = known.filter(({ from, to }) => to < more.from - 1 || from > more.to + 1);
  const joined = [...known.filter((range) => !apart.includes(range)), more];
  const whole = {
    from: Math.min(...joined.map(({ from }) => from)),
    to: Math.max(...joined.map(({ to }) => to)),
  };
  return [...apart, whole].sort((a, b) => a.from - b.from);
}

/** What of `wanted` is not in `known`, which is ascending and disjoint. */
export function gapsIn(known: readonly Range[], wanted: readonly Range[]): Range[] {
  return wanted.flatMap(({ from, to }) => {
    const gaps: Range[] = [];
    let next = from;
    for (const range of known) {
      if (range.to < next || range.from > to) continue;
      if (range.from > next) gaps.push({ from: next, to: range.from - 1 });
      next = range.to + 1;
    }
    return next <= to ? [...gaps, { from: next, to }] : gaps;
  });
}
