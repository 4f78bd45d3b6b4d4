import type { Filter } from '../../../clients/gen/backscroll/history/v1/history_pb.ts';
import { READ_ROWS } from '../limits.ts';
import { type Closed, clip } from '../store/intervals.ts';
import { matchingSeqs, matchRows, sentBy } from '../store/matching.ts';
import { type Match, matchesOf } from './filter.ts';
import { runsOf } from './seq-runs.ts';
import type { Candidates, Reading } from './walk.ts';

/** All in view of a range that a filter lets through, in rising order or where `falling` in falling. */
export function matching(
  reading: Reading,
  filter: Filter,
  range: Closed,
  falling: boolean,
): Candidates {
  const merge = new Merge(reading, filter, range, falling);
  return async (about) => {
    // Of calls in groups the index does not tell who called: any number of them may be passed over.
    for (let count = about; ; count *= 2) {
      const found = await merge.next(Math.min(count, READ_ROWS));
      const seqs = await bySenders(reading, found);
      if (seqs.length > 0 || found.length === 0) return runsOf(seqs);
    }
  };
}

interface Found {
  readonly seq: number;
  readonly by: Match['by'];
}

async function bySenders(
  { database, view, signal }: Reading,
  found: readonly Found[],
): Promise<number[]> {
  const unsure = found.filter(({ by }) => by !== undefined).map(({ seq }) => seq);
  const own =
    unsure.length === 0
      ? new Set()
      : await sentBy(database, view.conversation.id, view.user, unsure, signal);
  return found
    .filter(({ seq, by }) => by === undefined || own.has(seq) === (by === 'user'))
    .map(({ seq }) => seq);
}

/** Where the search for messages of one value of kinds stands. */
interface Cursor extends Match {
  /** Where to go on; nothing is left where it is absent. */
  next: number | undefined;
  /** Seqs that were found and not given yet, the nearest one last. */
  found: number[];
}

/** Merges the seqs of all the kinds that match, each of which stands in the index by itself. */
class Merge {
  readonly #reading: Reading;
  readonly #thread: string;
  /** What is in view of the range: in it alone is looked. */
  readonly #intervals: readonly Closed[];
  readonly #falling: boolean;
  readonly #cursors: readonly Cursor[];

  constructor(reading: Reading, filter: Filter, { from, to }: Closed, falling: boolean) {
    const { view } = reading;
    this.#reading = reading;
    this.#thread = filter.thread;
    this.#intervals = clip(view.intervals, from, to);
    this.#falling = falling;
    const next = falling ? this.#intervals.at(-1)?.to : this.#intervals[0]?.from;
    this.#cursors = matchesOf(filter, view.conversation, view.user).map((match) => ({
      ...match,
      next,
      found: [],
    }));
  }

  /** The next `count` seqs; fewer where there are no more. */
  async next(count: number): Promise<Found[]> {
    const given: Found[] = [];
    while (given.length < count) {
      await this.#refill(count);
      const cursor = this.#nearest();
      if (!cursor) break;
      given.push({ seq: cursor.found.pop()!, by: cursor.by });
    }
    return given;
  }

  #nearest(): Cursor | undefined {
    let nearest: Cursor | undefined;
    for (const cursor of this.#cursors) {
      const seq = cursor.found.at(-1);
      if (seq === undefined) continue;
      const best = nearest?.found.at(-1) ?? (this.#falling ? 0 : Infinity);
      if (this.#falling ? seq > best : seq < best) nearest = cursor;
    }
    return nearest;
  }

  /** Looks on for all kinds of which nothing is at hand: only then is it known which seq is nearest. */
  async #refill(count: number): Promise<void> {
    const { database, view, signal } = this.#reading;
    for (let rows = matchRows(count); ; rows = matchRows(rows + 1)) {
      const dry = this.#cursors.filter(({ next, found }) => next !== undefined && !found.length);
      if (dry.length === 0) return;
      const ranges = dry.map(({ kinds, next }) => ({
        kinds,
        fromSeq: this.#falling ? this.#intervals[0]!.from : next!,
        toSeq: this.#falling ? next! : this.#intervals.at(-1)!.to,
      }));
      const { id } = view.conversation;
      const given = [id, this.#thread, ranges, this.#falling, rows, signal] as const;
      const seqs = Map.groupBy(await matchingSeqs(database, ...given), ([kinds]) => kinds);
      for (const cursor of dry) this.#add(cursor, seqs.get(cursor.kinds) ?? [], rows);
    }
  }

  /** Takes what was found, of which what stands between two intervals of the view is no match. */
  #add(cursor: Cursor, found: readonly [number, number][], rows: number): void {
    const seqs = found.map(([, seq]) => seq).sort((a, b) => (this.#falling ? a - b : b - a));
    const last = seqs[0];
    const isComplete = last === undefined || found.length < rows;
    cursor.next = isComplete ? undefined : this.#inView(this.#falling ? last - 1 : last + 1);
    cursor.found = seqs.filter((seq) => this.#inView(seq) === seq);
  }

  /** The nearest seq from `seq` on that is in view of the range. */
  #inView(seq: number): number | undefined {
    if (this.#falling) {
      const interval = this.#intervals.findLast(({ from }) => from <= seq);
      return interval && Math.min(seq, interval.to);
    }
    const interval = this.#intervals.find(({ to }) => to >= seq);
    return interval && Math.max(seq, interval.from);
  }
}
