/** Where a page stands. */
export type Anchor =
  | { readonly kind: 'newest' }
  | { readonly kind: 'before'; readonly seq: number }
  | { readonly kind: 'after'; readonly seq: number };

/** Seqs to pick from: none where `newest` is less. */
export interface Reach {
  readonly oldest: number;
  readonly newest: number;
}

/** Seqs of a page, both inclusive; an empty one ends right below its beginning. */
export interface Page {
  readonly fromSeq: number;
  readonly toSeq: number;
  /** Nothing visible stands below the page. */
  readonly reachedOldest: boolean;
  /** Nothing visible stands above it. */
  readonly reachedNewest: boolean;
}

/** Picks at most `count` of the seqs in view; seqs have no holes, so this needs no look at messages. */
export function pageOf(anchor: Anchor, count: number, { oldest, newest }: Reach): Page {
  let fromSeq: number;
  let toSeq: number;
  if (anchor.kind === 'after') {
    fromSeq = Math.min(Math.max(oldest, anchor.seq + 1), newest + 1);
    toSeq = Math.min(newest, fromSeq + count - 1);
  } else {
    // Below 1 there is nothing, so anchors there are all alike.
    const end = anchor.kind === 'before' ? Math.max(anchor.seq, 1) - 1 : newest;
    toSeq = Math.min(newest, end);
    fromSeq = Math.min(Math.max(oldest, toSeq - count + 1), toSeq + 1);
  }
  const nothingVisible = newest < oldest;
  return {
    fromSeq,
    toSeq,
    reachedOldest: nothingVisible || fromSeq <= oldest,
    reachedNewest: nothingVisible || toSeq >= newest,
  };
}
