import { type HeadEntry, hasFailed } from './backups.ts';

/** Which backups of a database are kept. */
export interface KeepPolicy {
  /** How many of the newest. */
  readonly last: number;
  /** For how many days, weeks and months that have one, the newest of each. */
  readonly daily: number;
  readonly weekly: number;
  readonly monthly: number;
  /** Age under which all are kept, in milliseconds. */
  readonly floorMs: number;
}

const DAY_MS = 86_400_000;

/**
 * Numbers of the backups that a policy keeps, of all of a database's, newest first. Days, weeks (which
 * begin on Monday) and months are those of UTC; a time without backups does not count as one.
 *
 * Always kept are the newest one that has not failed its verification, what is pinned, and what is younger
 * than the floor. One that failed fills no place of the policy, and goes when a newer one has not failed.
 * A policy without any number keeps all.
 */
export function kept(
  entries: readonly HeadEntry[],
  policy: KeepPolicy,
  nowMs: number,
): Set<number> {
  const { last, daily, weekly, monthly, floorMs } = policy;
  if (last + daily + weekly + monthly === 0) return new Set(entries.map(({ number }) => number));
  const good = entries.filter((entry) => !hasFailed(entry));
  const newestGood = good[0]?.number ?? 0;
  // The store tells the present time to the second, and of objects perhaps more exactly.
  const isYoung = (entry: HeadEntry) => Math.max(0, nowMs - timeOf(entry)) < floorMs;
  const always = entries.filter(
    (entry) => isPinned(entry) || isYoung(entry) || entry.number >= newestGood,
  );
  return new Set(
    [
      ...always,
      ...good.slice(0, last),
      ...newestOfEach(good, daily, dayOf),
      ...newestOfEach(good, weekly, weekOf),
      ...newestOfEach(good, monthly, monthOf),
    ].map(({ number }) => number),
  );
}

/** The newest of each of so many periods. */
function newestOfEach(
  good: readonly HeadEntry[],
  most: number,
  periodOf: (ms: number) => number,
): HeadEntry[] {
  const newest = new Map<number, HeadEntry>();
  for (const entry of good) {
    const period = periodOf(timeOf(entry));
    if (newest.size < most && !newest.has(period)) newest.set(period, entry);
  }
  return [...newest.values()];
}

function isPinned({ notes }: HeadEntry): boolean {
  return notes.has('pin-asked') || notes.has('pin-warned');
}

function timeOf({ object }: HeadEntry): number {
  return object.storedAtMs;
}

function dayOf(ms: number): number {
  return Math.floor(ms / DAY_MS);
}

function weekOf(ms: number): number {
  // 1970 began on a Thursday.
  return Math.floor((dayOf(ms) + 3) / 7);
}

function monthOf(ms: number): number {
  const date = new Date(ms);
  return date.getUTCFullYear() * 12 + date.getUTCMonth();
}
