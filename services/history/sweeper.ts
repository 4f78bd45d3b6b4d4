import { randomBytes } from 'node:crypto';
import { Counter } from 'prom-client';
import type { Logger } from '../common/logger.ts';
import type { Metrics } from '../common/metrics.ts';
import { Rounds } from '../common/rounds.ts';
import { describeFault } from '../common/status.ts';
import { SWEEP_JOBS, type SweepParts, sweep } from './domain/sweep.ts';
import { STORE, SWEEP } from './limits.ts';
import { giveLeaseBack, takeLease } from './store/lease.ts';

/** The name of the job under which replicas agree who sweeps. */
const JOB = 'sweep';

/** What a sweeper is made of. */
export interface SweeperParts extends SweepParts {
  /** The service's clock, in milliseconds since 1970. */
  readonly nowMs: () => number;
  /** About how often to sweep, in milliseconds. */
  readonly everyMs: number;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/**
 * Sweeps in the background, soon after it was made and then again and again, one replica at a time.
 * What fails is logged, and tried again the next time. Disposing of it ends it after the step under way.
 */
export class Sweeper implements AsyncDisposable {
  readonly #parts: SweeperParts;
  readonly #holder = randomBytes(16);
  readonly #leaseMs: number;
  readonly #counters: ReturnType<typeof countersIn>;
  readonly #rounds: Rounds;
  #renewAtMs = 0;
  #completedMs: number;

  constructor(parts: SweeperParts) {
    this.#parts = parts;
    // Through the waits between its rounds a replica stays the one that sweeps.
    this.#leaseMs = Math.max(2 * parts.everyMs, SWEEP.leaseMs);
    this.#completedMs = parts.nowMs();
    this.#counters = countersIn(parts.metrics);
    parts.metrics.gauge(
      'history_sweep_age_seconds',
      'Time since this replica last completed a sweep, or started: of all replicas the least counts.',
      () => (parts.nowMs() - this.#completedMs) / 1_000,
    );
    this.#rounds = new Rounds({
      ...{ everyMs: parts.everyMs, firstAfterMs: SWEEP.firstAfterMs, endMs: STORE.closeTimeoutMs },
      work: (signal) => this.#sweepOnce(signal),
      failed: (error) => this.#failed(error),
      // Without that, it ends by itself.
      ended: () => giveLeaseBack(parts.database, JOB, this.#holder).catch(() => {}),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#rounds[Symbol.asyncDispose]();
  }

  async #sweepOnce(stop: AbortSignal): Promise<void> {
    if (!(await this.#hold())) return;
    const lost = new AbortController();
    const stepped: SweepParts['stepped'] = async (job, rows) => {
      this.#counters.rows.inc({ job }, rows);
      const due = this.#parts.nowMs() >= this.#renewAtMs;
      if (due && !(await this.#hold())) lost.abort(new Error('another replica sweeps'));
    };
    const signal = AbortSignal.any([stop, lost.signal]);
    await sweep({ ...this.#parts, stepped }, this.#parts.nowMs(), signal);
    this.#completedMs = this.#parts.nowMs();
    this.#counters.rounds.inc();
  }

  #failed(error: unknown): void {
    this.#counters.failures.inc();
    const failures = error instanceof AggregateError ? error.errors : [error];
    for (const failure of failures) {
      this.#parts.log.error({ fault: describeFault(failure) }, 'sweep failed');
    }
  }

  #hold(): Promise<boolean> {
    const nowMs = this.#parts.nowMs();
    this.#renewAtMs = nowMs + this.#leaseMs / 4;
    return takeLease(this.#parts.database, JOB, this.#holder, nowMs, nowMs + this.#leaseMs);
  }
}

function countersIn({ registry }: Metrics) {
  const registers = [registry];
  const rows = new Counter({
    name: 'history_sweep_rows_total',
    help: 'Rows that were swept, by job.',
    labelNames: ['job'],
    registers,
  });
  for (const job of SWEEP_JOBS) rows.inc({ job }, 0); // so that they are there to be read
  return {
    rows,
    rounds: new Counter({
      name: 'history_sweeps_total',
      help: 'Sweeps that this replica completed.',
      registers,
    }),
    failures: new Counter({
      name: 'history_sweep_failures_total',
      help: 'Sweeps that failed, at least in part.',
      registers,
    }),
  };
}
