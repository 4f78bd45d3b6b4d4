import { setTimeout as delay } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import { BackscrollError } from './errors.ts';

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;

/** Tries in a row that may fail before the service was ever reached: a few seconds, */
const FIRST_TRIES = 4;
/** and after that: about half a minute, in which a service that was killed comes back. */
const LATER_TRIES = 12;

/**
 * How long to wait after a number of failures in a row: 100 ms at first, unless `firstMs` tells
 * otherwise, twice as long each time up to `longestMs`, less a random part of up to half, so that many
 * clients do not come back at once.
 */
export function pauseAfterMs(
  failures: number,
  longestMs: number,
  firstMs = FIRST_PAUSE_MS,
): number {
  const pauseMs = Math.min(firstMs * 2 ** (failures - 1), longestMs);
  return pauseMs * (1 - Math.random() / 2);
}

/** Counts the tries of one piece of work, and waits between them, up to 5 s. */
export class Attempts {
  readonly #signal: AbortSignal | undefined;
  #most = FIRST_TRIES;
  #failed = 0;

  /** A firing `signal` ends the wait. */
  constructor(signal?: AbortSignal) {
    this.#signal = signal;
  }

  /** The service was reached: there is one, and it is worth more patience. */
  reached(): void {
    this.#most = LATER_TRIES;
  }

  /** The work has come further: the count begins anew. */
  progressed(): void {
    this.reached();
    this.#failed = 0;
  }

  /** Does the work until it is done, or `failed` throws. */
  async run<T>(work: () => Promise<T>, again: (error: BackscrollError) => boolean): Promise<T> {
    for (;;) {
      try {
        return await work();
      } catch (error) {
        await this.failed(error, again);
      }
    }
  }

  /**
   * To be called with what a try failed with. Resolves when it is time for the next one; throws
   * `error` where trying again is no use, or was tried often enough.
   */
  async failed(error: unknown, again: (error: BackscrollError) => boolean): Promise<void> {
    if (!(error instanceof BackscrollError) || !again(error)) throw error;
    if (isBusy(error)) this.reached();
    this.#failed += 1;
    if (this.#failed >= this.#most || this.#signal?.aborted) throw error;
    const pauseMs = pauseAfterMs(this.#failed, LONGEST_PAUSE_MS);
    try {
      await delay(pauseMs, undefined, { signal: this.#signal });
    } catch {
      throw error;
    }
  }
}

/** The service could not be reached, the stream was cut off, or the service has too much to do now. */
export function willPass(error: BackscrollError): boolean {
  return error.code === status.UNAVAILABLE || isBusy(error);
}

function isBusy(error: BackscrollError): boolean {
  return error.reason === 'TOO_MANY_CALLS';
}
