import type { Closed } from '../store/intervals.ts';
import { merged, sizeOf } from './seq-runs.ts';
import type { View } from './view.ts';
import type { Walk } from './walk.ts';

/** Where a page stands: below, from, or half below and half from a seq on. */
export interface Spot {
  readonly side: 'below' | 'from' | 'around';
  readonly seq: number;
}

/** How far a page goes. */
export interface Reach {
  /** How many messages come, at most. */
  readonly count: number;
  /** Where a page on one side of its seq ends at the latest, inclusive; 0 where nothing but `count` ends it. */
  readonly untilSeq: number;
}

/** Seqs of a page, and what is known of the conversation with it. */
export interface Page {
  /** What comes, oldest first. */
  readonly runs: readonly Closed[];
  /** All that is seen from here to `toSeq`, both inclusive, is in the page; an empty interval ends right below. */
  readonly fromSeq: number;
  readonly toSeq: number;
  /** Nothing that is seen stands below the page. */
  readonly reachedOldest: boolean;
  /** Nothing that is seen stands above it. */
  readonly reachedNewest: boolean;
}

/** Walks over what is seen of a range, from its lower end up, or where `falling` from its upper end down. */
export type WalkWithin = (range: Closed, falling: boolean) => Walk;

/** Picks `count` messages, fewer only where there are no more on that side up to its end, or both. */
export async function pickPage(
  walkWithin: WalkWithin,
  { floorSeq, lastSeq }: Pick<View, 'floorSeq' | 'lastSeq'>,
  spot: Spot,
  { count, untilSeq }: Reach,
): Promise<Page> {
  const { seq, lowest, highest } = placeOf(spot, untilSeq, lastSeq);
  const up = walkWithin({ from: seq, to: highest }, false);
  const down = walkWithin({ from: lowest, to: seq - 1 }, true);
  const share = { below: 0, from: count, around: Math.ceil(count / 2) }[spot.side];
  const near = await up.take(share);
  const below = await down.take(spot.side === 'from' ? 0 : count - sizeOf(near));
  const missing = spot.side === 'around' ? count - sizeOf(near) - sizeOf(below) : 0;
  const above = [...near, ...(await up.take(missing))];
  const [atLowest, atHighest] = [await down.isAtEnd(), await up.isAtEnd()];
  const toSeq = atHighest ? highest : (above.at(-1)?.to ?? seq - 1);
  const fromSeq = atLowest ? Math.max(lowest, floorSeq) : (below.at(-1)?.from ?? seq);
  const isEmpty = (range: Closed, falling: boolean) =>
    range.from > range.to || walkWithin(range, falling).isAtEnd();
  return {
    runs: merged([...below.toReversed(), ...above]),
    fromSeq: Math.min(fromSeq, toSeq + 1),
    toSeq,
    reachedOldest: atLowest && (await isEmpty({ from: floorSeq, to: lowest - 1 }, true)),
    reachedNewest: atHighest && (await isEmpty({ from: highest + 1, to: lastSeq }, false)),
  };
}

/** The seq that parts the page's sides, and the lowest and highest that it may hold or tell of. */
function placeOf({ side, seq }: Spot, untilSeq: number, lastSeq: number) {
  // No message stands beyond these, so all positions there are alike.
  const within = (position: number) => Math.min(Math.max(position, 1), lastSeq + 1);
  const place = { seq: within(seq), lowest: 1, highest: lastSeq };
  if (untilSeq === 0) return place;
  // An end on the other side of the spot leaves nothing between them: the page is empty, and stands at it.
  if (side === 'from') {
    const above = within(untilSeq + 1);
    return { ...place, seq: Math.min(place.seq, above), highest: above - 1 };
  }
  const lowest = within(untilSeq);
  return { ...place, seq: Math.max(place.seq, lowest), lowest };
}
