import type { ServerDuplexStream, ServerWritableStream } from '@grpc/grpc-js';
import { Code, ServiceError } from './errors.ts';
import type { CallLimits } from './limits.ts';

/** Requests and answers are encoded and decoded by `rpc`; grpc-js sees bytes alone. */
export type BytesIn = ServerDuplexStream<Buffer, Buffer>;
export type BytesOut = BytesIn | ServerWritableStream<Buffer, Buffer>;

/**
 * One waiter, woken by events. Every wait ends: by an event, by the signal (which throws its
 * reason), or after `idleMs` (which throws IDLE).
 */
class Bell {
  readonly #signal: AbortSignal;
  #ring = () => {};

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  ring(): void {
    this.#ring();
  }

  async wait(forWhat: string, idleMs: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const abort = () => reject(this.#signal.reason);
    const idle = () =>
      reject(
        new ServiceError(Code.DEADLINE_EXCEEDED, 'IDLE', `waited for the client to ${forWhat}`, {
          metadata: { limit_ms: String(idleMs) },
        }),
      );
    this.#ring = resolve;
    this.#signal.addEventListener('abort', abort);
    const timer = setTimeout(idle, idleMs);
    try {
      this.#signal.throwIfAborted();
      await promise;
    } finally {
      clearTimeout(timer);
      this.#signal.removeEventListener('abort', abort);
    }
  }
}

/**
 * Writes answers no faster than the client reads them. It counts bytes itself, because grpc-js
 * would take 16 messages of any size before it asks to wait.
 */
export class AnswerWriter {
  readonly #call: BytesOut;
  readonly #signal: AbortSignal;
  readonly #aheadBytes: number;
  readonly #idleMs: number;
  readonly #bell: Bell;
  #queuedBytes = 0;

  constructor(call: BytesOut, signal: AbortSignal, aheadBytes: number, idleMs: number) {
    this.#call = call;
    this.#signal = signal;
    this.#aheadBytes = aheadBytes;
    this.#idleMs = idleMs;
    this.#bell = new Bell(signal);
  }

  /**
   * Resolves when there is room for another answer.
   *
   * @throws the signal's reason, or ServiceError IDLE when the client reads nothing for too long
   */
  async write(bytes: Buffer): Promise<void> {
    this.#signal.throwIfAborted();
    this.#queuedBytes += bytes.length;
    this.#call.write(bytes, () => {
      this.#queuedBytes -= bytes.length;
      this.#bell.ring();
    });
    while (this.#queuedBytes > this.#aheadBytes) await this.#bell.wait('read', this.#idleMs);
  }
}

type ReadLimits = Pick<CallLimits, 'firstRequestMs' | 'readIdleMs'>;

/**
 * The requests of a stream, read as they are asked for (and a few ahead). Unlike the stream's own
 * iterator it leaves the stream whole when the reader stops early, so that answers can still go
 * out, and it never outlives the signal. One `next()` at a time.
 */
export class RequestReader<Request> implements AsyncIterableIterator<Request, undefined> {
  readonly #call: BytesIn;
  readonly #signal: AbortSignal;
  readonly #decode: (bytes: Buffer) => Request;
  readonly #limits: ReadLimits;
  readonly #bell: Bell;
  #begun = false;
  #ended = false;

  constructor(
    call: BytesIn,
    signal: AbortSignal,
    limits: ReadLimits,
    decode: (bytes: Buffer) => Request,
  ) {
    this.#call = call;
    this.#signal = signal;
    this.#decode = decode;
    this.#limits = limits;
    this.#bell = new Bell(signal);
    call.on('readable', () => this.#bell.ring());
    call.once('end', () => {
      this.#ended = true;
      this.#bell.ring();
    });
  }

  /** @throws the signal's reason, or ServiceError IDLE, TOO_LARGE, MALFORMED */
  async next(): Promise<IteratorResult<Request, undefined>> {
    for (;;) {
      this.#signal.throwIfAborted();
      if (this.#ended) return { done: true, value: undefined };
      const bytes: Buffer | null = this.#call.read();
      if (bytes !== null) {
        this.#begun = true;
        return { done: false, value: this.#decode(bytes) };
      }
      const { firstRequestMs, readIdleMs } = this.#limits;
      await this.#bell.wait('send', this.#begun ? readIdleMs : firstRequestMs);
    }
  }

  async return(): Promise<IteratorResult<Request, undefined>> {
    this.#ended = true;
    this.#bell.ring();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
