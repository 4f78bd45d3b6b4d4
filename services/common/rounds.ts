import { setTimeout } from 'node:timers/promises';

/** What is done again and again. */
export interface RoundsParts {
  /** About how often, in milliseconds. */
  readonly everyMs: number;
  /** The first comes within this time after the start: a service that starts often does its rounds, too. */
  readonly firstAfterMs: number;
  /** How long its end may take, in milliseconds: a store that hangs must not hold up the service's. */
  readonly endMs: number;
  /** Does one round. */
  readonly work: (signal: AbortSignal) => Promise<void>;
  /** Told of a round that failed; the next one comes all the same. */
  readonly failed: (error: unknown) => void;
  /** Done after the last round. */
  readonly ended?: () => Promise<void>;
}

/** Does rounds in the background. Disposing of it fires the signal of the one under way, and awaits its end. */
export class Rounds implements AsyncDisposable {
  readonly #parts: RoundsParts;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;

  constructor(parts: RoundsParts) {
    this.#parts = parts;
    this.#running = this.#run();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('the service stops'));
    const patience = setTimeout(this.#parts.endMs, undefined, { ref: false });
    await Promise.race([this.#running, patience]);
  }

  async #run(): Promise<void> {
    await this.#repeat();
    await this.#parts.ended?.();
  }

  async #repeat(): Promise<void> {
    const { everyMs, firstAfterMs, work, failed } = this.#parts;
    const { signal } = this.#stop;
    // Replicas that start together don't work together.
    let waitMs = Math.min(everyMs, firstAfterMs) * Math.random();
    for (;;) {
      await setTimeout(waitMs, undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
      try {
        await work(signal);
      } catch (error) {
        if (signal.aborted) return;
        failed(error);
      }
      waitMs = everyMs * (0.75 + Math.random() / 2);
    }
  }
}
