import type { Closed } from '../store/intervals.ts';
import { merged, sizeOf } from './seq-runs.ts';
import type { View } from './view.ts';
import type { Walk } from './walk.ts';

/** Where a page stands: below, from, or half below and half from a seq on. */
export interface Spot {
  readonly side: 'below' | 'from' | 'around';
  readonly seq: number;
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

/** Walks over what is seen from a seq on, or where `falling` from there down. */
export type WalkFrom = (seq: number, falling: boolean) => Walk;

/** Picks `count` messages, fewer only where there are no more on that side, or both. */
export async function pickPage(
  walkFrom: WalkFrom,
  { floorSeq, lastSeq }: Pick<View, 'floorSeq' | 'lastSeq'>,
  spot: Spot,
  count: number,
): Promise<Page> {
  // No message stands beyond these, so all positions there are alike.
  const seq = Math.min(Math.max(spot.seq, 1), lastSeq + 1);
  const up = walkFrom(seq, false);
  const down = walkFrom(seq - 1, true);
  const share = { below: 0, from: count, around: Math.ceil(count / 2) }[spot.side];
  const near = await up.take(share);
  const below = await down.take(spot.side === 'from' ? 0 : count - sizeOf(near));
  const missing = spot.side === 'around' ? count - sizeOf(near) - sizeOf(below) : 0;
  const above = [...near, ...(await up.take(missing))];
  const [reachedOldest, reachedNewest] = [await down.isAtEnd(), await up.isAtEnd()];
  const toSeq = reachedNewest ? lastSeq : (above.at(-1)?.to ?? seq - 1);
  const fromSeq = reachedOldest ? floorSeq : (below.at(-1)?.from ?? seq);
  return {
    runs: merged([...below.toReversed(), ...above]),
    fromSeq: Math.min(fromSeq, toSeq + 1),
    toSeq,
    reachedOldest,
    reachedNewest,
  };
}
