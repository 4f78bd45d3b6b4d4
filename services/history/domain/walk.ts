import { WALK_SEQS } from '../limits.ts';
import type { Database, Session } from '../store/database.ts';
import { expiredWithin, hiddenWithin } from '../store/excluded.ts';
import { type Closed, clip } from '../store/intervals.ts';
import { seenAmong } from './seen.ts';
import { runsOf, SeqQueue, seqsOf } from './seq-runs.ts';
import type { View } from './view.ts';

/**
 * The next seqs in view that come into question, away from where the walk began, each once: about as
 * many as asked for, at least one, and none where there are no more.
 */
export type Candidates = (about: number) => Promise<readonly Closed[]>;

/** What reading by a view takes. */
export interface Reading {
  readonly database: Database;
  readonly view: View;
  /** Since when messages have expired: one moment for all of a reading. */
  readonly nowMs: number;
  readonly signal: AbortSignal;
}

/** Candidates beyond those asked for, for some may be hidden or expired. */
const SPARE_SEQS = 64;

/** Of so many runs at most the narrow tables are read from end to end; of more, seq by seq. */
const FEW_RUNS = 16;

/**
 * Finds the seqs that a user sees among candidates, one direction away from a position. It looks at
 * narrow tables alone, at none where nothing in the conversation is hidden or expires.
 */
export class Walk {
  readonly #reading: Reading;
  readonly #candidates: Candidates;
  readonly #falling: boolean;
  readonly #found: SeqQueue;
  #spare = SPARE_SEQS;
  #ended = false;

  constructor(reading: Reading, candidates: Candidates, falling: boolean) {
    this.#reading = reading;
    this.#candidates = candidates;
    this.#falling = falling;
    this.#found = new SeqQueue(falling);
  }

  /** The next `count` seqs; fewer where there are no more. */
  async take(count: number): Promise<Closed[]> {
    await this.#find(count);
    return this.#found.take(count);
  }

  /** Whether nothing is left. */
  async isAtEnd(): Promise<boolean> {
    await this.#find(1);
    return this.#found.size === 0;
  }

  /** Goes on until `count` seqs are found: in longer and longer steps, for long stretches may be hidden. */
  async #find(count: number): Promise<void> {
    while (this.#found.size < count && !this.#ended) {
      const about = Math.min(count - this.#found.size + this.#spare, WALK_SEQS);
      this.#spare = Math.min(this.#spare * 2, WALK_SEQS);
      const runs = await this.#candidates(about);
      this.#ended = runs.length === 0;
      this.#found.push(await this.#seen(runs));
    }
  }

  async #seen(runs: readonly Closed[]): Promise<readonly Closed[]> {
    const { database, view, signal } = this.#reading;
    if (!view.hides && !view.expiring) return runs;
    const seqs = () => seqsOf(runs, this.#falling);
    return database.run(async (session) => {
      if (runs.length > FEW_RUNS) {
        return runsOf(await seenAmong(session, view, seqs(), this.#reading.nowMs));
      }
      const unseen = await this.#unseenWithin(session, runs);
      return unseen.size === 0 ? runs : runsOf(seqs().filter((seq) => !unseen.has(seq)));
    }, signal);
  }

  async #unseenWithin(session: Session, runs: readonly Closed[]): Promise<Set<number>> {
    const { conversation, user, hides, expiring } = this.#reading.view;
    const { nowMs } = this.#reading;
    const hidden = hides ? await hiddenWithin(session, conversation.id, user, runs) : [];
    const expired = expiring ? await expiredWithin(session, conversation.id, runs, nowMs) : [];
    return new Set([...hidden, ...expired]);
  }
}

/** All in view of a range, in rising order or where `falling` in falling: found without a look at any table. */
export function inView({ intervals }: View, { from, to }: Closed, falling: boolean): Candidates {
  const rising = clip(intervals, from, to);
  const queue = new SeqQueue(falling, falling ? rising.reverse() : rising);
  return async (about) => queue.take(about);
}
