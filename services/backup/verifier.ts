import { Counter } from 'prom-client';
import type { Logger } from '../common/logger.ts';
import type { Metrics } from '../common/metrics.ts';
import { Rounds } from '../common/rounds.ts';
import { describeFault } from '../common/status.ts';
import { databasesOf } from './domain/databases.ts';
import { Backups, type KeptBackup, type Newest } from './domain/kept/backups.ts';
import { logDamagedHeads } from './domain/kept/damaged-heads.ts';
import { takeRound } from './domain/round.ts';
import { Turns } from './domain/turns.ts';
import { recordVerdict } from './domain/verification/record-verdict.ts';
import { FAILURE_REASONS } from './domain/verification/verdict.ts';
import { type CheckDatabase, type Verifications, verify } from './domain/verification/verify.ts';
import { VERIFIER } from './limits.ts';
import type { BackupStore } from './store/store.ts';

/** What a verifier is made of. */
export interface VerifierParts {
  readonly store: BackupStore;
  readonly check: CheckDatabase;
  /** After how long a database's newest backup is verified again, in milliseconds. */
  readonly everyMs: number;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/**
 * Verifies backups: in the background the newest ones of databases, one by one, after uploads and in
 * rounds over all databases; and others at once, when somebody waits for it. Disposing of it ends what
 * is under way, without a verdict.
 */
export class Verifier implements AsyncDisposable, Verifications {
  readonly #parts: VerifierParts;
  readonly #stop = new AbortController();
  /** Prefixes of databases, and since when each waits. */
  readonly #queue = new Map<string, number>();
  readonly #background = new Turns(1, Number.POSITIVE_INFINITY);
  readonly #asked = new Turns(VERIFIER.atOnce, VERIFIER.mostWaiting);
  readonly #counters: ReturnType<typeof countersIn>;
  readonly #rounds: Rounds;
  #working: Promise<void> | undefined;

  constructor(parts: VerifierParts) {
    this.#parts = parts;
    this.#counters = countersIn(parts.metrics);
    parts.metrics.gauge(
      'backup_verifications_in_flight',
      'Verifications that are under way, or that a call waits for.',
      () => this.#background.length + this.#asked.length,
    );
    parts.metrics.gauge(
      'backup_verification_queue_length',
      'Databases with a new backup that is to be verified, unless that was done lately.',
      () => this.#queue.size,
    );
    parts.metrics.gauge(
      'backup_verification_queue_age_seconds',
      'How long the first of them has waited.',
      () => this.#queueAgeSeconds(),
    );
    this.#rounds = new Rounds({
      ...{ everyMs: VERIFIER.roundMs, firstAfterMs: VERIFIER.firstAfterMs, endMs: VERIFIER.endMs },
      work: (signal) => this.#takeRound(signal),
      failed: (error) => this.#failed(error),
    });
  }

  /**
   * Has the newest backup of the database with this prefix verified when its turn comes, if it is due
   * then (see `isDue`). Where too many wait, it is left to the next round.
   */
  offer(prefix: string): void {
    if (this.#stop.signal.aborted || this.#queue.has(prefix)) return;
    if (this.#queue.size >= VERIFIER.mostQueued) return;
    this.#queue.set(prefix, performance.now());
    this.#working ??= this.#work();
  }

  verify(
    backups: Backups,
    backup: KeptBackup,
    signal: AbortSignal,
  ): Promise<KeptBackup | undefined> {
    return this.#asked.run(() => this.#verify(backups, backup, signal), signal);
  }

  /** Verifies the newest backup of each database for which it is due. */
  async round(signal: AbortSignal): Promise<void> {
    for await (const prefix of databasesOf(this.#parts.store, signal)) {
      await this.#verifyNewest(prefix, signal);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('the service stops'));
    await Promise.all([this.#rounds[Symbol.asyncDispose](), this.#working]);
  }

  async #takeRound(signal: AbortSignal): Promise<void> {
    if (await takeRound(this.#parts.store, 'verify', VERIFIER.roundMs, signal)) {
      await this.round(signal);
    }
  }

  async #work(): Promise<void> {
    for (const [prefix] of this.#queue) {
      this.#queue.delete(prefix);
      await this.#verifyNewest(prefix, this.#stop.signal);
      if (this.#stop.signal.aborted) break;
    }
    this.#working = undefined;
  }

  /** Of what fails it tells, unless the signal has fired: the next upload or round tries again. */
  async #verifyNewest(prefix: string, signal: AbortSignal): Promise<void> {
    const { store, everyMs, log } = this.#parts;
    const backups = new Backups(store, prefix, logDamagedHeads(log));
    const work = async () => {
      const newest = await backups.newest(signal);
      const { backup } = newest;
      const nowMs = await store.nowMs(signal);
      if (backup && isDue(newest, nowMs, everyMs)) await this.#verify(backups, backup, signal);
    };
    try {
      await this.#background.run(work, signal);
    } catch (error) {
      if (!signal.aborted) this.#failed(error, prefix);
    }
  }

  async #verify(
    backups: Backups,
    { head: { number } }: KeptBackup,
    signal: AbortSignal,
  ): Promise<KeptBackup | undefined> {
    const { store, check, log } = this.#parts;
    const backup = await backups.numbered(number, signal);
    if (backup === undefined) return undefined;
    const verdict = await verify(store, backups.prefix, backup.head, check, signal);
    // Where it was deleted meanwhile, it may have missed what was deleted with it.
    const now = await backups.numbered(number, signal);
    if (now === undefined) return undefined;
    await recordVerdict(store, backups, now, verdict, signal);
    const { failure, damagedPacks } = verdict;
    this.#counters.verdicts.inc({ verdict: failure?.reason ?? 'PASSED' });
    if (failure) {
      const which = { prefix: backups.prefix, number, damagedPacks };
      log.error({ ...which, ...failure }, 'a backup failed its verification');
    }
    return await backups.numbered(number, signal);
  }

  #failed(error: unknown, prefix?: string): void {
    this.#counters.failures.inc();
    this.#parts.log.error({ prefix, fault: describeFault(error) }, 'verifying failed');
  }

  #queueAgeSeconds(): number {
    const [since] = this.#queue.values();
    return since === undefined ? 0 : (performance.now() - since) / 1_000;
  }
}

/**
 * Whether the newest backup is to be verified: where none has passed, or the last one passed a day ago;
 * where it has passed itself, after `everyMs`. By the store's time.
 */
export function isDue({ backup, passed }: Newest, nowMs: number, everyMs: number): boolean {
  if (backup === undefined) return false;
  if (passed === undefined) return true;
  const isItself = passed.number === backup.head.number;
  return nowMs - passed.passedAtMs >= (isItself ? everyMs : VERIFIER.dayMs);
}

function countersIn({ registry }: Metrics) {
  const registers = [registry];
  const verdicts = new Counter({
    name: 'backup_verifications_total',
    help: 'Backups that were verified, by what it came to: PASSED, or why it failed.',
    labelNames: ['verdict'],
    registers,
  });
  for (const verdict of ['PASSED', ...FAILURE_REASONS]) verdicts.inc({ verdict }, 0);
  return {
    verdicts,
    failures: new Counter({
      name: 'backup_verification_failures_total',
      help: 'Verifications in the background that came to no verdict.',
      registers,
    }),
  };
}
