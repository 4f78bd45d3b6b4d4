/** Whole numbers from `from` to `to`, both inclusive; empty where `to` is below `from`. */
export interface Interval {
  readonly from: number;
  readonly to: number;
}

/** Adds an interval to a set that is ascending, and of which none touch; so is the result. */
export function added(set: readonly Interval[], { from, to }: Interval): Interval[] {
  if (to < from) return [...set];
  const touching = set.filter((one) => one.from <= to + 1 && one.to >= from - 1);
  return [
    ...set.filter((one) => one.to < from - 1),
    {
      from: Math.min(from, touching[0]?.from ?? from),
      to: Math.max(to, touching.at(-1)?.to ?? to),
    },
    ...set.filter((one) => one.from > to + 1),
  ];
}

/** The union of two sets. */
export function union(a: readonly Interval[], b: readonly Interval[]): Interval[] {
  return b.reduce<Interval[]>(added, [...a]);
}

/** The runs of numbers that follow one another, ascending; numbers come in any order. */
export function runsOf(numbers: readonly number[]): Interval[] {
  const runs: { from: number; to: number }[] = [];
  for (const number of numbers.toSorted((a, b) => a - b)) {
    const run = runs.at(-1);
    if (run && number <= run.to + 1) run.to = number;
    else runs.push({ from: number, to: number });
  }
  return runs;
}

/** What a set holds, or does not hold, without a break from a number on. */
export interface Stretch extends Interval {
  readonly held: boolean;
}

/** The stretch that ends at `to` with all below it alike, down to 1; `to` is at least 1. */
export function stretchBelow(set: readonly Interval[], to: number): Stretch {
  const below = set.findLast(({ from }) => from <= to);
  if (!below) return { held: false, from: 1, to };
  if (below.to < to) return { held: false, from: below.to + 1, to };
  return { held: true, from: below.from, to };
}

/** The stretch that begins at `from` with all above it alike; `to` is Infinity where nothing ends it. */
export function stretchAbove(set: readonly Interval[], from: number): Stretch {
  const above = set.find(({ to }) => to >= from);
  if (!above) return { held: false, from, to: Infinity };
  if (above.from > from) return { held: false, from, to: above.from - 1 };
  return { held: true, from, to: above.to };
}
