import { cancelled, cutOff } from '../stream-faults.ts';

/** One answer of a stream: what it carries, and the result in the last one. */
export interface Answer<Frame, Result> {
  readonly frame: Frame | undefined;
  readonly result: Result | undefined;
}

/**
 * A stream of frames that ends with a result. Can be read once; the call begins with the reading, and
 * leaving the iteration early cancels it. One that ends before its result fails with UNAVAILABLE,
 * reason CUT_OFF: what was read to its end is complete.
 */
export class FrameStream<Frame, Result> {
  /**
   * What is known after the stream: resolves when it was read to its end, and fails with what the
   * reading fails with. Pending while nobody reads.
   */
  readonly result: Promise<Result>;

  readonly #answers: AsyncIterable<Answer<Frame, Result>>;
  #settle!: { resolve(result: Result): void; reject(error: unknown): void };

  /** For the client's own use: the answers of one call. */
  constructor(answers: AsyncIterable<Answer<Frame, Result>>) {
    this.#answers = answers;
    this.result = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    // Whoever reads learns of a failure by the reading; `result` need not be looked at.
    this.result.catch(() => {});
  }

  /** The frames as they come: fewer steps than one by one. */
  async *frames(): AsyncGenerator<Frame, void, undefined> {
    let last: Result | undefined;
    let isLeft = true;
    try {
      for await (const { frame, result } of this.#answers) {
        if (frame !== undefined) yield frame;
        last = result;
      }
      isLeft = false;
      if (!last) throw cutOff('The stream ended before its result');
      this.#settle.resolve(last);
    } catch (error) {
      isLeft = false;
      this.#settle.reject(error);
      throw error;
    } finally {
      if (isLeft) this.#settle.reject(cancelled(undefined, 'The stream was left'));
    }
  }
}
