import { Counter } from 'prom-client';
import type { Logger } from '../common/logger.ts';
import type { Metrics } from '../common/metrics.ts';
import { Rounds } from '../common/rounds.ts';
import { describeFault } from '../common/status.ts';
import { tidy } from './domain/collection/tidy.ts';
import { databasesOf } from './domain/databases.ts';
import { Backups } from './domain/kept/backups.ts';
import { logDamagedHeads } from './domain/kept/damaged-heads.ts';
import { prune } from './domain/kept/prune.ts';
import type { KeepPolicy } from './domain/kept/retention.ts';
import { takeRound } from './domain/round.ts';
import { KEEPER } from './limits.ts';
import type { BackupStore } from './store/store.ts';

/** What a keeper is made of. */
export interface KeeperParts {
  readonly store: BackupStore;
  readonly policy: KeepPolicy;
  /** About how often to look at all databases, in milliseconds. */
  readonly everyMs: number;
  /** Longest that an upload or a download may take, in milliseconds. */
  readonly transferMs: number;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/**
 * Looks at all databases in the background, soon after the start and then again and again, one replica
 * at a time: deletes backups that are not kept, and then what nothing needs any more. What fails is
 * logged, and tried again the next time.
 */
export class Keeper implements AsyncDisposable {
  readonly #parts: KeeperParts;
  readonly #counters: ReturnType<typeof countersIn>;
  readonly #rounds: Rounds;
  #completedMs = Date.now();

  constructor(parts: KeeperParts) {
    this.#parts = parts;
    this.#counters = countersIn(parts.metrics);
    parts.metrics.gauge(
      'backup_keep_age_seconds',
      'Time since this replica last looked at all databases, or started: of all replicas the least counts.',
      () => (Date.now() - this.#completedMs) / 1_000,
    );
    this.#rounds = new Rounds({
      ...{ everyMs: parts.everyMs, ...KEEPER },
      work: (signal) => this.#round(signal),
      failed: (error) => this.#failed(error),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#rounds[Symbol.asyncDispose]();
  }

  async #round(signal: AbortSignal): Promise<void> {
    const { store, everyMs } = this.#parts;
    if (!(await takeRound(store, 'keep', everyMs, signal))) return;
    for await (const prefix of databasesOf(store, signal)) {
      try {
        await this.#keep(prefix, signal);
      } catch (error) {
        signal.throwIfAborted();
        this.#failed(error, prefix);
      }
    }
    this.#completedMs = Date.now();
    this.#counters.rounds.inc();
  }

  async #keep(prefix: string, signal: AbortSignal): Promise<void> {
    const { store, policy, transferMs, log } = this.#parts;
    const backups = new Backups(store, prefix, logDamagedHeads(log));
    this.#counters.pruned.inc(await prune(store, backups, policy, transferMs, signal));
    const onDamage = (error: Error) => this.#failed(error, prefix);
    const tidied = await tidy({ store, transferMs, onDamage, signal }, prefix);
    this.#counters.deleted.inc(tidied.deleted);
    this.#counters.deletedBytes.inc(tidied.deletedBytes);
    this.#counters.compactedBytes.inc(tidied.storedBytes);
  }

  #failed(error: unknown, prefix?: string): void {
    this.#counters.failures.inc();
    this.#parts.log.error({ prefix, fault: describeFault(error) }, 'keeping failed');
  }
}

function countersIn({ registry }: Metrics) {
  const counter = (name: string, help: string) =>
    new Counter({ name, help, registers: [registry] });
  return {
    rounds: counter('backup_keep_rounds_total', 'Times that this replica looked at all databases.'),
    failures: counter('backup_keep_failures_total', 'Databases, or whole rounds, that failed.'),
    pruned: counter('backup_pruned_total', 'Backups that were deleted because they are not kept.'),
    deleted: counter('backup_collected_total', 'Packs and maps that were deleted.'),
    deletedBytes: counter('backup_collected_bytes_total', 'Bytes of packs and maps deleted.'),
    compactedBytes: counter('backup_compacted_bytes_total', 'Bytes that compaction stored.'),
  };
}
