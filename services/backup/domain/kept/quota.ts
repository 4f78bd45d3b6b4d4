import { resourceExhausted, type ServiceError } from '../../../common/errors.ts';
import type { BackupStore } from '../../store/store.ts';
import { usageOf } from './usage.ts';

/** What an upload may store: what its user's other objects left of the quota when it began. */
export class Quota {
  #leftBytes: number;

  private constructor(leftBytes: number) {
    this.#leftBytes = leftBytes;
  }

  /**
   * Looks how much of a user's quota is left; 0 is none, and needs no look.
   *
   * @throws ServiceError RESOURCE_EXHAUSTED where nothing is
   */
  static async begin(
    store: BackupStore,
    user: string,
    quotaBytes: number,
    signal: AbortSignal,
  ): Promise<Quota> {
    if (quotaBytes === 0) return new Quota(Number.POSITIVE_INFINITY);
    const { storedBytes } = await usageOf(store, user, signal);
    if (storedBytes >= quotaBytes) throw quotaExceeded();
    return new Quota(quotaBytes - storedBytes);
  }

  /**
   * To be called before bytes are stored.
   *
   * @throws ServiceError RESOURCE_EXHAUSTED where they would pass the quota
   */
  take(bytes: number): void {
    this.#leftBytes -= bytes;
    if (this.#leftBytes < 0) throw quotaExceeded();
  }
}

function quotaExceeded(): ServiceError {
  return resourceExhausted('QUOTA_EXCEEDED', "the user's backups take up as much as they may");
}
