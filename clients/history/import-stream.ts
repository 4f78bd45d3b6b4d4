import { Attempts, willPass } from '../attempts.ts';
import type { Send } from '../calls.ts';
import type { ImportRequest, ImportResponse } from '../gen/backscroll/history/v1/history_pb.ts';
import { cutOff, wrongAnswer } from '../stream-faults.ts';

/** Batches that may be on their way at once: at most 2 MiB each, kept until they are answered. */
const WINDOW = 4;

/** Opens one stream: sends what `produce` sends, and yields the answers. */
export type OpenImport = (
  produce: (send: Send<ImportRequest>) => Promise<void>,
) => AsyncIterable<ImportResponse>;

/**
 * Sends `batches` through as many streams as it takes, and yields one answer for each, in order and
 * numbered from 1. Batches without an answer are kept, and sent again after a break.
 */
export async function* importThrough(
  open: OpenImport,
  batches: AsyncIterable<ImportRequest> | Iterable<ImportRequest>,
  signal: AbortSignal | undefined,
): AsyncGenerator<ImportResponse, void, undefined> {
  const pending = new Unanswered(batches);
  const attempts = new Attempts(signal);
  let answered = 0n;
  try {
    while (!pending.done) {
      try {
        await pending.ready(signal);
        if (pending.done) return;
        let inStream = 0n;
        for await (const response of open((send) => pending.sendAll(send))) {
          inStream += 1n;
          if (response.batch !== inStream) throw outOfOrder();
          pending.answered();
          attempts.progressed();
          answered += 1n;
          response.batch = answered;
          yield response;
        }
        if (!pending.done) throw cutOff('The import ended before its answers');
      } catch (error) {
        pending.throwIfFailed();
        await attempts.failed(error, willPass);
      }
    }
  } finally {
    await pending.close();
  }
}

/**
 * The batches taken from the source and not answered yet. It outlives the streams: a batch that was
 * asked of the source while one stream broke is sent by the next.
 */
class Unanswered {
  readonly #source: AsyncIterator<ImportRequest> | Iterator<ImportRequest>;
  readonly #kept: ImportRequest[] = [];
  /** How many were answered: the number of the first one kept, counted from 0. */
  #first = 0;
  #ended = false;
  #failure: { error: unknown } | undefined;
  #asking: Promise<void> | undefined;
  #madeRoom: () => void = () => {};

  constructor(batches: AsyncIterable<ImportRequest> | Iterable<ImportRequest>) {
    this.#source =
      Symbol.asyncIterator in batches
        ? batches[Symbol.asyncIterator]()
        : batches[Symbol.iterator]();
  }

  /** Nothing is left to send or to be answered. */
  get done(): boolean {
    return this.#ended && this.#kept.length === 0;
  }

  /** Throws what the source failed with, if it did: another stream is no help then. */
  throwIfFailed(): void {
    if (this.#failure) throw this.#failure.error;
  }

  /**
   * Resolves when there is a batch to send, or none will come, or `signal` fires. No stream is opened
   * before: the service waits longer between batches than for the first.
   */
  async ready(signal: AbortSignal | undefined): Promise<void> {
    if (this.#kept.length > 0 || this.#ended) return;
    let abort = () => {};
    const aborted = new Promise<void>((resolve) => {
      abort = resolve;
    });
    if (signal?.aborted) abort();
    signal?.addEventListener('abort', abort);
    await Promise.race([this.#more(), aborted]).finally(() =>
      signal?.removeEventListener('abort', abort),
    );
  }

  /** The oldest batch was answered. */
  answered(): void {
    if (this.#kept.length === 0) throw outOfOrder();
    this.#kept.shift();
    this.#first += 1;
    this.#madeRoom();
  }

  /** Sends what is kept, then what the source gives, to its end. */
  async sendAll(send: Send<ImportRequest>): Promise<void> {
    for (let next = this.#first; ; next += 1) {
      while (next === this.#first + this.#kept.length) {
        if (this.#ended) return;
        await this.#more();
      }
      await send(this.#kept[next - this.#first]!);
    }
  }

  /** Tells the source that no more is wanted. */
  async close(): Promise<void> {
    const closed = this.#ended ? undefined : this.#source.return?.();
    // A source that is still busy with its next batch ends when it has it; nobody waits for that.
    if (this.#asking) Promise.resolve(closed).catch(() => {});
    else await closed;
  }

  /** One more batch of the source is kept, or it has ended. Shared by the streams that wait for it. */
  #more(): Promise<void> {
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  async #ask(): Promise<void> {
    this.throwIfFailed();
    while (this.#kept.length >= WINDOW) {
      await new Promise<void>((resolve) => {
        this.#madeRoom = resolve;
      });
    }
    try {
      const { done, value } = await this.#source.next();
      if (done) this.#ended = true;
      else this.#kept.push(value);
    } catch (error) {
      this.#failure = { error };
      throw error;
    }
  }
}

function outOfOrder() {
  return wrongAnswer('The service answered out of order');
}
