import { resourceExhausted } from '../../common/errors.ts';

/** The uploads and downloads under way in one process, each of which holds megabytes. */
export class Transfers {
  readonly #most: number;
  #inFlight = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /** How many are under way, for the metrics. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /**
   * Gives the answers of one more transfer, which is under way until they end or are left.
   *
   * @throws ServiceError RESOURCE_EXHAUSTED where as many are under way as may be
   */
  async *run<T>(answers: AsyncIterable<T>): AsyncGenerator<T> {
    if (this.#inFlight >= this.#most) {
      const metadata = { limit: String(this.#most) };
      throw resourceExhausted('TOO_MANY_CALLS', 'too many transfers in flight', { metadata });
    }
    this.#inFlight += 1;
    try {
      yield* answers;
    } finally {
      this.#inFlight -= 1;
    }
  }
}
