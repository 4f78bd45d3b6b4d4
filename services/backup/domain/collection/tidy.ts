import { ServiceError } from '../../../common/errors.ts';
import type { BackupStore } from '../../store/store.ts';
import { DamageError } from '../coding.ts';
import { type Collected, collect } from './collect.ts';
import { type Compacted, compact } from './compact.ts';

/** What tidying a database works with. */
export interface TidyOptions {
  store: BackupStore;
  /** Longest that an upload or a download may take, in milliseconds. */
  transferMs: number;
  /** Told where the database is left as it is because of damage. */
  onDamage: (error: Error) => void;
  signal: AbortSignal;
}

/** What tidying a database came to. */
export interface Tidied extends Collected, Compacted {}

/**
 * Deletes what the backups of one database do not need, and stores anew what is spread too far: see
 * `collect` and `compact`. To be called for each database every so often, at best once between two
 * backups; takes a listing of the database and a read of each of its maps where there is nothing to do.
 * May be called at any time, on any replica, by several at once, and ended at any point.
 *
 * @throws ServiceError UNAVAILABLE; the signal's reason
 */
export async function tidy(options: TidyOptions, prefix: string): Promise<Tidied> {
  const { store, transferMs, onDamage, signal } = options;
  const tidied: Tidied = { marked: 0, deleted: 0, deletedBytes: 0, replaced: 0, storedBytes: 0 };
  try {
    Object.assign(tidied, await collect(store, prefix, transferMs, signal));
    Object.assign(tidied, await compact(store, prefix, transferMs, signal));
  } catch (error) {
    if (error instanceof DamageError) onDamage(error);
    else if (!isOvertaken(error)) throw error;
  }
  return tidied;
}

/** Whether a compaction ended because of what others did meanwhile, or took too long: the next one may do. */
function isOvertaken(error: unknown): boolean {
  return (
    error instanceof ServiceError &&
    (error.reason === 'COLLECTED' || error.reason === 'TAKES_TOO_LONG')
  );
}
