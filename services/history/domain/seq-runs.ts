import type { Closed } from '../store/intervals.ts';

/** How many seqs stand in `runs`, which are disjoint. */
export function sizeOf(runs: readonly Closed[]): number {
  return runs.reduce((sum, { from, to }) => sum + to - from + 1, 0);
}

/** `seqs`, which rise or fall, as runs. */
export function runsOf(seqs: readonly number[]): Closed[] {
  return merged(seqs.map((seq) => ({ from: seq, to: seq })));
}

/** `runs`, which rise or fall, with neighbours made one. */
export function merged(runs: readonly Closed[]): Closed[] {
  const all: Closed[] = [];
  for (const run of runs) addRun(all, run);
  return all;
}

/** The seqs of `runs`, one by one: each run's from its upper end where `falling`. */
export function seqsOf(runs: readonly Closed[], falling: boolean): number[] {
  return runs.flatMap(({ from, to }) =>
    Array.from({ length: to - from + 1 }, (_, n) => (falling ? to - n : from + n)),
  );
}

/** `runs` with one more behind them: longer, where that is the last one's neighbour. */
function addRun(runs: Closed[], run: Closed): void {
  const last = runs.at(-1);
  if (last?.to === run.from - 1) runs[runs.length - 1] = { from: last.from, to: run.to };
  else if (last?.from === run.to + 1) runs[runs.length - 1] = { from: run.from, to: last.to };
  else runs.push(run);
}

/** Seqs that wait to be taken, in rising order, or where `falling` in falling order. */
export class SeqQueue {
  readonly #falling: boolean;
  #runs: Closed[] = [];
  /** Index of the first run that was not taken. */
  #next = 0;
  #size = 0;

  constructor(falling: boolean, runs: readonly Closed[] = []) {
    this.#falling = falling;
    this.push(runs);
  }

  /** How many seqs wait. */
  get size(): number {
    return this.#size;
  }

  /** Puts runs behind all others; they must stand in the queue's order. */
  push(runs: readonly Closed[]): void {
    if (this.#next === this.#runs.length) {
      this.#runs = [];
      this.#next = 0;
    }
    for (const run of runs) addRun(this.#runs, run);
    this.#size += sizeOf(runs);
  }

  /** Takes the next seqs, at most `limit`. */
  take(limit: number): Closed[] {
    const taken: Closed[] = [];
    let missing = Math.min(limit, this.#size);
    this.#size -= missing;
    while (missing > 0) {
      const { from, to } = this.#runs[this.#next]!;
      const length = Math.min(missing, to - from + 1);
      missing -= length;
      const cut = this.#falling ? to - length + 1 : from + length;
      taken.push(this.#falling ? { from: cut, to } : { from, to: cut - 1 });
      const left = this.#falling ? { from, to: cut - 1 } : { from: cut, to };
      if (left.from > left.to) this.#next++;
      else this.#runs[this.#next] = left;
    }
    return taken;
  }
}
