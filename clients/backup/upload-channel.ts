/**
 * Hands things from one part of an upload to another, in order; a part that takes one waits until it is
 * there. As a pool, it hands out the same things again and again.
 */
export class Channel<T> {
  readonly #signal: AbortSignal;
  readonly #items: T[];
  #waiting:
    | { resolve: (item: T | undefined) => void; reject: (reason: unknown) => void }
    | undefined;
  #ended = false;

  /** Whoever waits when the signal fires, or afterwards, gets its reason. Holds `items` at first. */
  constructor(signal: AbortSignal, items: readonly T[] = []) {
    this.#signal = signal;
    this.#items = [...items];
    signal.addEventListener('abort', () => this.#waiting?.reject(signal.reason), { once: true });
  }

  /** Puts one in. */
  push(item: T): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting) waiting.resolve(item);
    else this.#items.push(item);
  }

  /** No more will be put in. */
  end(): void {
    this.#ended = true;
    this.#waiting?.resolve(undefined);
  }

  /** Takes the oldest out; undefined at the end. One may wait at a time. */
  async take(): Promise<T | undefined> {
    this.#signal.throwIfAborted();
    if (this.#items.length > 0) return this.#items.shift();
    if (this.#ended) return undefined;
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }
}
