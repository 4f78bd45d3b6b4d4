import { setImmediate } from 'node:timers/promises';
import type { Database } from '../store/database.ts';
import { eraseLeftOver } from './erase-user.ts';
import { expire } from './expire.ts';
import { retain } from './retain.ts';
import { settleLeftOver } from './settle-pending.ts';
import { trimLogs } from './trim-logs.ts';

/** What a sweep works on, and by which rules. */
export interface SweepParts {
  readonly database: Database;
  /** How long messages are kept in conversations that say nothing else, in milliseconds; 0 for ever. */
  readonly retentionMs: number;
  /** How long changes stay in the log, in milliseconds. */
  readonly changesMs: number;
  /** Is told of every step, and waited for before the next. */
  readonly stepped?: (job: SweepJob, rows: number) => Promise<void>;
}

type Job = (parts: SweepParts, nowMs: number) => AsyncIterable<number>;

/** What is swept, in this order. Each is done in small steps, and yields the number of rows of each. */
const JOBS = {
  settled: ({ database }) => settleLeftOver(database),
  expired: ({ database }, nowMs) => expire(database, nowMs),
  retained: ({ database, retentionMs }, nowMs) => retain(database, retentionMs, nowMs),
  changes: ({ database, changesMs }, nowMs) => trimLogs(database, nowMs - changesMs),
  erased: ({ database }, nowMs) => eraseLeftOver(database, nowMs),
} as const satisfies Record<string, Job>;

/** One of the jobs of a sweep. */
export type SweepJob = keyof typeof JOBS;

/** The names of all jobs, in their order. */
export const SWEEP_JOBS = Object.keys(JOBS) as SweepJob[];

/**
 * Sweeps once: does all that is to be done at `nowMs`, in small steps between which others get their
 * turn and the signal is looked at. May break off anywhere and be done again, by several at once, too.
 * A job that fails keeps no other from being done. What was removed, by the sweep or before it, is gone
 * from the database's log in the end.
 *
 * @throws the signal's reason; AggregateError with what failed
 */
export async function sweep(parts: SweepParts, nowMs: number, signal: AbortSignal): Promise<void> {
  const failures: unknown[] = [];
  for (const job of SWEEP_JOBS) {
    try {
      for await (const rows of JOBS[job](parts, nowMs)) {
        await parts.stepped?.(job, rows);
        await setImmediate();
        signal.throwIfAborted();
      }
    } catch (error) {
      signal.throwIfAborted();
      failures.push(error);
    }
  }
  await parts.database.scrub().catch((error: unknown) => failures.push(error));
  if (failures.length > 0) throw new AggregateError(failures, 'some of a sweep failed');
}
