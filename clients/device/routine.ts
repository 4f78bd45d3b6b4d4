import { pauseAfterMs } from '../attempts.ts';

/** Longest pause after failures, in milliseconds: as late as this, what broke is found to be back. */
const LONGEST_PAUSE_MS = 15_000;

/** Longest that a timer can wait. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * Something that a device does by itself, round after round, between `start` and `stop`, which may be
 * called in any order and repeated. A round that fails is repeated, after longer and longer pauses.
 */
export class Routine {
  readonly #round: (signal: AbortSignal) => Promise<number>;
  readonly #onFailure: (error: unknown) => void;
  #stopping: AbortController | undefined;
  #ended: Promise<void> = Promise.resolve();
  #woken = false;
  #resume: (() => void) | undefined;

  /**
   * `round` ends early when the signal fires, and resolves to how many milliseconds the next round has
   * time, unless it is woken. `onFailure` is told what a round failed with.
   */
  constructor(
    round: (signal: AbortSignal) => Promise<number>,
    onFailure: (error: unknown) => void,
  ) {
    this.#round = round;
    this.#onFailure = onFailure;
  }

  /** Begins with a round at once. */
  start(): void {
    if (this.#stopping) return;
    const stopping = new AbortController();
    this.#stopping = stopping;
    this.#ended = this.#ended.then(() => this.#run(stopping.signal));
  }

  /** Aborts the round that is under way; resolves when it has ended. */
  async stop(): Promise<void> {
    this.#stopping?.abort();
    this.#stopping = undefined;
    await this.#ended;
  }

  /** There is something to do: the next round begins as soon as this one ends; not earlier after a failure. */
  wake(): void {
    this.#woken = true;
    this.#resume?.();
  }

  async #run(signal: AbortSignal): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      this.#woken = false;
      try {
        const pauseMs = await this.#round(signal);
        failures = 0;
        await this.#pause(pauseMs, signal, true);
      } catch (error) {
        if (signal.aborted) return;
        failures += 1;
        this.#onFailure(error);
        await this.#pause(pauseAfterMs(failures, LONGEST_PAUSE_MS), signal, false);
      }
    }
  }

  async #pause(ms: number, signal: AbortSignal, wakeable: boolean): Promise<void> {
    if (signal.aborted || (wakeable && this.#woken)) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, Math.min(ms, LONGEST_TIMER_MS));
    const end = () => resolve();
    signal.addEventListener('abort', end, { once: true });
    if (wakeable) this.#resume = end;
    await promise;
    this.#resume = undefined;
    signal.removeEventListener('abort', end);
    clearTimeout(timer);
  }
}
