import { status } from '@grpc/grpc-js';
import { BackscrollError } from '../errors.ts';
import { cancelled } from '../stream-faults.ts';

/** What is under way for a device, so that closing it can end it all. */
export class Tasks {
  readonly #closing = new AbortController();
  readonly #underWay = new Set<Promise<unknown>>();
  #isAlone = false;

  /**
   * Does `work`, whose signal fires when the device is closed, or the given one does. Fails as `work` does, or with CANCELLED
   * where the device was closed before, or with DATABASE_IN_USE while something is done alone.
   */
  async run<T>(
    work: (signal: AbortSignal) => Promise<T>,
    signal?: AbortSignal | undefined,
  ): Promise<T> {
    this.refuse();
    const closing = this.#closing.signal;
    const task = work(signal ? AbortSignal.any([closing, signal]) : closing);
    this.#underWay.add(task);
    try {
      return await task;
    } finally {
      this.#underWay.delete(task);
    }
  }

  /**
   * As `run`, of work that exchanges the database: fails with DATABASE_IN_USE while anything is under
   * way, and so does all that is to begin before it has ended.
   */
  async alone<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (this.#underWay.size > 0)
      throw inUse('The device is doing something: wait until it has ended');
    return this.run(async (signal) => {
      this.#isAlone = true;
      try {
        return await work(signal);
      } finally {
        this.#isAlone = false;
      }
    });
  }

  /** Fails with CANCELLED once the device was closed, and with DATABASE_IN_USE while something is done alone. */
  refuse(): void {
    this.refuseIfAlone();
    if (!this.#closing.signal.aborted) return;
    throw cancelled(undefined, 'The device is closed');
  }

  /** Fails with DATABASE_IN_USE while something is done alone. */
  refuseIfAlone(): void {
    if (this.#isAlone) throw inUse('The device is being restored: wait until that has ended');
  }

  /** Aborts all, and lets nothing more begin; resolves when all have ended. */
  async end(): Promise<void> {
    this.#closing.abort();
    await Promise.allSettled(this.#underWay);
  }
}

function inUse(message: string): BackscrollError {
  return new BackscrollError(message, {
    code: status.FAILED_PRECONDITION,
    reason: 'DATABASE_IN_USE',
  });
}
