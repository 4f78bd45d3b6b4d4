import { pauseAfterMs } from '../../attempts.ts';
import type { UploadOptions } from '../../backup/backup-client.ts';
import type { Uploaded } from '../../backup/upload.ts';
import { invalid } from '../local/checks.ts';
import type { BackupRow, BackupState } from './backup-state.ts';

/** When a device's backups are made. Times are in milliseconds, up to a hundred years. */
export interface ScheduleOptions {
  /** From one backup to the next. */
  readonly every: number;
  /**
   * A database of which no backup was ever uploaded here is not backed up before it is this old; as old as
   * `every` unless given. So that of a new device, with hardly anything in it, does not become the newest
   * backup before the one to be restored is. What was restored is as old as the database it was made of.
   */
  readonly minDatabaseAge?: number | undefined;
  /** Each backup comes later by a random part of this, so that many devices do not come at once. */
  readonly jitter?: number | undefined;
  /** Asked when one is due: whether now is the moment. Where it is not, it is asked again each minute. */
  readonly when?: (() => boolean | Promise<boolean>) | undefined;
  /** What they are uploaded as. */
  readonly upload?: Pick<UploadOptions, 'database' | 'label' | 'key' | 'onProgress'> | undefined;
  /** Told what became of each that was due, or would be if the database were not too young. */
  readonly onResult?: ((result: ScheduledResult) => void) | undefined;
}

/** What became of a backup that was due. */
export type ScheduledResult =
  | { readonly outcome: 'uploaded'; readonly uploaded: Uploaded }
  /** Nothing was written to the database since the last one: the next is due after the usual time. */
  | { readonly outcome: 'unchanged' }
  /** The database is new, and has its first backup after this many milliseconds; told once a minute until then. */
  | { readonly outcome: 'too-young'; readonly leftMs: number }
  /** `when` refused. */
  | { readonly outcome: 'refused' }
  /**
   * It is tried again, after longer and longer pauses up to an hour; where `when` failed, that is asked
   * again after a minute.
   */
  | { readonly outcome: 'failed'; readonly error: unknown };

/** What a schedule backs up. */
export interface Scheduled {
  /** Name of the backups. */
  readonly name: string;
  readonly state: BackupState;
  /** Keeps other processes from making one until it is disposed of; undefined where one does. */
  lock(): Disposable | undefined;
  /** The database as it is now. */
  now(): DatabaseVersion;
  upload(signal: AbortSignal): Promise<Uploaded>;
}

/** Tells one state of a database from any other. */
export interface DatabaseVersion {
  readonly createdAtMs: number;
  /** Restoring begins a new one. */
  readonly lineage: string;
  /** Counts what was written, in one lineage. */
  readonly writes: number;
}

/** How often is looked, at the least: a clock may be set, a machine sleep, other processes do the work. */
const LOOK_MS = 60_000;

/** A hundred years: later times are not to be kept exactly. */
const LONGEST_MS = 100 * 365 * 24 * 3_600_000;

const FIRST_RETRY_MS = 60_000;
const LONGEST_RETRY_MS = 3_600_000;

/**
 * Makes backups when they are due, once however many processes have such a schedule for the same
 * database: when the next one is due stands beside it, and a lock keeps others from making the same.
 */
export class Schedule {
  readonly #scheduled: Scheduled;
  readonly #options: ScheduleOptions;
  readonly #nowMs: () => number;

  constructor(scheduled: Scheduled, options: ScheduleOptions, nowMs: () => number = Date.now) {
    checkTimes(options);
    this.#scheduled = scheduled;
    this.#options = options;
    this.#nowMs = nowMs;
  }

  /**
   * Makes a backup if one is due; resolves to how many milliseconds to wait before the next round. Fails
   * only where it can't be told whether one is due.
   */
  async round(signal: AbortSignal): Promise<number> {
    const waitMs = await this.#look(signal);
    return Math.min(Math.max(waitMs, 0), LOOK_MS);
  }

  async #look(signal: AbortSignal): Promise<number> {
    const { name, state } = this.#scheduled;
    const version = this.#scheduled.now();
    const row = state.read(name);
    const leftMs = this.#tooYoungMs(version, row);
    if (leftMs > 0) {
      this.#tell({ outcome: 'too-young', leftMs });
      return leftMs;
    }
    const waitMs = this.#dueMs(row) - this.#nowMs();
    if (waitMs > 0) return waitMs;
    const isUnchanged = row.lineage === version.lineage && row.writes === version.writes;
    // One to which nothing was ever written must not become the newest backup of another.
    if (isUnchanged || version.writes === 0) {
      if (this.#ifDue({ due_at_ms: this.#nextMs() })) this.#tell({ outcome: 'unchanged' });
      return 0;
    }
    const hindrance = await this.#hindrance(signal);
    if (signal.aborted) return LOOK_MS;
    if (hindrance) {
      this.#tell(hindrance);
      return LOOK_MS;
    }
    using lock = this.#scheduled.lock();
    if (!lock) return LOOK_MS;
    // Awaited, for the lock to last as long.
    return await this.#backUp(signal);
  }

  /** How long a database that was never backed up is yet too young; 0 where its age is not to be told. */
  #tooYoungMs({ createdAtMs }: DatabaseVersion, { at_ms }: BackupRow): number {
    const { every, minDatabaseAge = every } = this.#options;
    const ageMs = this.#nowMs() - createdAtMs;
    if (at_ms !== null || ageMs < 0) return 0;
    return Math.max(minDatabaseAge - ageMs, 0);
  }

  /** What of `when` keeps a backup that is due from being made now. A signal that fires waits for nobody. */
  async #hindrance(signal: AbortSignal): Promise<ScheduledResult | undefined> {
    const { when } = this.#options;
    const { promise: stopped, resolve } = Promise.withResolvers<boolean>();
    const stop = () => resolve(false);
    signal.addEventListener('abort', stop);
    try {
      return !when || (await Promise.race([when(), stopped])) ? undefined : { outcome: 'refused' };
    } catch (error) {
      return { outcome: 'failed', error };
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  /** When the next one is due: never later than from now on, whatever clock that was written by. */
  #dueMs({ due_at_ms }: BackupRow): number {
    const { every, jitter = 0 } = this.#options;
    const latestMs = this.#nowMs() + every + jitter;
    if (due_at_ms !== null && due_at_ms <= latestMs) return due_at_ms;
    const { name, state } = this.#scheduled;
    const firstMs = this.#nowMs() + Math.random() * jitter;
    const row = state.update(name, ({ due_at_ms: dueMs }) => ({
      due_at_ms: Math.ceil(Math.min(dueMs ?? firstMs, latestMs)),
    }));
    return row.due_at_ms!;
  }

  #nextMs(): number {
    const { every, jitter = 0 } = this.#options;
    return Math.ceil(this.#nowMs() + every + Math.random() * jitter);
  }

  async #backUp(signal: AbortSignal): Promise<number> {
    const { name, state, upload } = this.#scheduled;
    const { failures } = state.read(name);
    const retryMs = this.#retryMs(failures + 1);
    // As if it had failed: a process that dies of it must not begin again at once.
    const tried = { failures: failures + 1, due_at_ms: this.#nowMs() + retryMs };
    if (!this.#ifDue(tried)) return 0;
    try {
      const uploaded = await upload(signal);
      state.update(name, () => ({ failures: 0, due_at_ms: this.#nextMs() }));
      this.#tell({ outcome: 'uploaded', uploaded });
      return 0;
    } catch (error) {
      // It was stopped: that is no failure, and it goes on at the next start.
      if (signal.aborted) state.update(name, () => ({ failures, due_at_ms: this.#nowMs() }));
      else this.#tell({ outcome: 'failed', error });
      return retryMs;
    }
  }

  /** Changes the row where a backup is due by it, which others may have seen to since; whether it was. */
  #ifDue(change: Partial<BackupRow>): boolean {
    let due = false;
    this.#scheduled.state.update(this.#scheduled.name, ({ due_at_ms }) => {
      due = (due_at_ms ?? 0) <= this.#nowMs();
      return due ? change : {};
    });
    return due;
  }

  #retryMs(failures: number): number {
    const longestMs = Math.min(LONGEST_RETRY_MS, this.#options.every);
    return Math.ceil(pauseAfterMs(failures, longestMs, FIRST_RETRY_MS));
  }

  #tell(result: ScheduledResult): void {
    const { onResult } = this.#options;
    // What the app does with it must not end the schedule.
    if (onResult) queueMicrotask(() => onResult(result));
  }
}

/** INVALID_ARGUMENT, reason INVALID_FIELD: no time, one that would have it never stop, or one that never comes. */
function checkTimes({ every, minDatabaseAge = 0, jitter = 0 }: ScheduleOptions): void {
  if (!(every > 0)) throw invalid('INVALID_FIELD', 'every', 'must be above 0');
  for (const [field, value] of Object.entries({ every, minDatabaseAge, jitter })) {
    if (value >= 0 && value <= LONGEST_MS) continue;
    throw invalid('INVALID_FIELD', field, `must be from 0 to ${LONGEST_MS} ms`);
  }
}
