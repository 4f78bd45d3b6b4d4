import { UNREAD_EXACT } from '../limits.ts';
import type { Database } from '../store/database.ts';
import { type Closed, clip } from '../store/intervals.ts';
import {
  type Ends,
  LOOK_ROWS,
  type LookRows,
  lookDown,
  lookUp,
  type Stretch,
} from '../store/unread.ts';
import { sizeOf } from './seq-runs.ts';
import type { View } from './view.ts';

/** A view, and what the narrow tables have to say of its conversation. */
export interface Counted {
  readonly view: View;
  readonly ends: Ends;
}

/**
 * How many messages of each view are unread: those in view above the read mark, but for the quiet,
 * imported, hidden and expired ones. Exact up to `UNREAD_EXACT`, and one more for all that is beyond.
 * No message is looked at: seqs have no holes, so what the narrow tables name is taken away from what
 * is in view, piece by piece until it is decided.
 */
export async function unreadCounts(
  database: Database,
  listed: readonly Counted[],
  nowMs: number,
  signal: AbortSignal,
): Promise<number[]> {
  const counts = listed.map(() => 0);
  const looks = listed.map(({ view, ends }, n): Look => {
    const rest = clip(view.intervals, (view.marks?.readSeq ?? 0) + 1, view.lastSeq);
    return { view, ends, n, rest };
  });
  await untilDecided(looks, LOOK_ROWS.ofMany, async (some, rows) => {
    const pieces = await database.run(
      (session) => lookUp(session, some.map(stretchOf), rows, nowMs),
      signal,
    );
    return some.map((look, index) => {
      const { view, n, rest } = look;
      const { without, knownTo = view.lastSeq } = pieces[index]!;
      counts[n]! += sizeOf(minus(clip(rest, 0, knownTo), without));
      const decided = counts[n]! > UNREAD_EXACT;
      return { ...look, rest: decided ? [] : clip(rest, knownTo + 1, view.lastSeq) };
    });
  });
  return counts.map((count) => Math.min(count, UNREAD_EXACT + 1));
}

/** The highest seq of each view that its user sees: neither hidden nor expired; 0 for none. */
export async function newestSeen(
  database: Database,
  views: readonly View[],
  nowMs: number,
  signal: AbortSignal,
): Promise<number[]> {
  const newest = views.map(({ intervals }) => intervals.at(-1)?.to ?? 0);
  const looks = views
    .map((view, n): Look => ({ view, n, rest: view.intervals, ends: NOWHERE }))
    .filter(({ view }) => view.hides || view.expiring);
  await untilDecided(looks, LOOK_ROWS.ofNewest, async (some, rows) => {
    const pieces = await database.run(
      (session) => lookDown(session, some.map(stretchOf), rows, nowMs),
      signal,
    );
    return some.map((look, index) => {
      const { view, n, rest } = look;
      const { without, knownTo = 1 } = pieces[index]!;
      newest[n] = minus(clip(rest, knownTo, view.lastSeq), without).at(-1)?.to ?? 0;
      return { ...look, rest: newest[n] > 0 ? [] : clip(rest, 1, knownTo - 1) };
    });
  });
  return newest;
}

/** What is still to be looked at of the view with number `n`. */
interface Look extends Counted {
  readonly n: number;
  readonly rest: readonly Closed[];
}

const NOWHERE: Ends = { quietTo: 0, importedTo: 0 };

/** Takes all looks one round on, some at a time, and then each that is not decided by itself. */
async function untilDecided(
  looks: readonly Look[],
  firstRows: LookRows,
  round: (looks: readonly Look[], rows: LookRows) => Promise<Look[]>,
): Promise<void> {
  let open = looks.filter(({ rest }) => rest.length > 0);
  const left: Look[] = [];
  for (; open.length > 0; open = open.slice(LOOKS_AT_ONCE)) {
    left.push(...(await round(open.slice(0, LOOKS_AT_ONCE), firstRows)));
  }
  for (const one of left) {
    let look: Look | undefined = one;
    while (look && look.rest.length > 0) [look] = await round([look], LOOK_ROWS.ofOne);
  }
}

/** Bounds what a round holds of the narrow tables, and is one statement a table. */
const LOOKS_AT_ONCE = 100;

function stretchOf({ view, rest, ends }: Look): Stretch {
  const { conversation, user, hides, expiring } = view;
  const [from, to] = [rest[0]!.from, rest.at(-1)!.to];
  return { conversationId: conversation.id, user, hides, expiring, ...ends, from, to };
}

/** What is left of `intervals`, ascending and disjoint, without the seqs of `gone`, which come in any order. */
export function minus(intervals: readonly Closed[], gone: readonly Closed[]): Closed[] {
  const sorted = gone.toSorted((a, b) => a.from - b.from);
  const left: Closed[] = [];
  let next = 0;
  for (const { from, to } of intervals) {
    let first = from;
    for (; next < sorted.length && sorted[next]!.from <= to; next++) {
      const run = sorted[next]!;
      if (run.from > first) left.push({ from: first, to: run.from - 1 });
      first = Math.max(first, run.to + 1);
      if (run.to > to) break; // it may reach into the next interval
    }
    if (first <= to) left.push({ from: first, to });
  }
  return left;
}
