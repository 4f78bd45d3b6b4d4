/** Rounds that count, unless told otherwise; one before them does not. */
const fullRounds = 5;

/** Numbers of one round, by name. */
export type Numbers<K extends string> = Readonly<Record<K, number>>;

/** Medians of both sides. */
export interface Turns<K extends string> {
  readonly ours: Numbers<K>;
  readonly bare: Numbers<K>;
}

/**
 * Measures both sides by turns, so that what slows the machine for a while slows both: one round to
 * warm up, then those of which the medians are taken. A round gets its number, 0 for the first.
 */
export async function byTurns<K extends string>(
  ours: (round: number) => Promise<Numbers<K>>,
  bare: (round: number) => Promise<Numbers<K>>,
  rounds = fullRounds,
): Promise<Turns<K>> {
  const measured: Turns<K>[] = [];
  for (let round = 0; round <= rounds; round++) {
    const turn = { ours: await ours(round), bare: await bare(round) };
    console.error(`    ${round === 0 ? 'warm-up' : `round ${round}`}: ${show(turn)}`);
    if (round > 0) measured.push(turn);
  }
  return {
    ours: medians(measured.map((turn) => turn.ours)),
    bare: medians(measured.map((turn) => turn.bare)),
  };
}

/** The value that a share of the values (0 to 1) does not pass. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const value = sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
  if (value === undefined) throw new Error('no values');
  return value;
}

/** How long something takes, in seconds. */
export async function seconds(what: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await what();
  return (performance.now() - began) / 1000;
}

function medians<K extends string>(turns: readonly Numbers<K>[]): Numbers<K> {
  const names = Object.keys(turns[0] ?? {}) as K[];
  const median = (name: K) =>
    quantile(
      turns.map((turn) => turn[name]),
      0.5,
    );
  return Object.fromEntries(names.map((name) => [name, median(name)])) as Record<K, number>;
}

function show<K extends string>({ ours, bare }: Turns<K>): string {
  const names = Object.keys(ours) as K[];
  return names
    .map((name) => `${name} ${ours[name].toPrecision(4)} | ${bare[name].toPrecision(4)}`)
    .join(', ');
}
