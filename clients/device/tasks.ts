import { status } from '@grpc/grpc-js';
import { BackscrollError } from '../errors.ts';

/** What is under way for a device, so that closing it can end it all. */
export class Tasks {
  readonly #closing = new AbortController();
  readonly #underWay = new Set<Promise<unknown>>();

  /**
   * Does `work`, whose signal fires when the device is closed. Fails as `work` does, or with CANCELLED
   * where the device was closed before.
   */
  async run<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { signal } = this.#closing;
    if (signal.aborted) {
      throw new BackscrollError('The device is closed', {
        code: status.CANCELLED,
        reason: 'CANCELLED',
      });
    }
    const task = work(signal);
    this.#underWay.add(task);
    try {
      return await task;
    } finally {
      this.#underWay.delete(task);
    }
  }

  /** Aborts all, and lets nothing more begin; resolves when all have ended. */
  async end(): Promise<void> {
    this.#closing.abort();
    await Promise.allSettled(this.#underWay);
  }
}
