import type { Deadline, Metadata } from '@grpc/grpc-js';
import { Code, resourceExhausted, ServiceError, unavailable } from './errors.ts';

/** A timer for longer than this would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** What every kind of call has. */
export interface AnyCall {
  readonly metadata: Metadata;
  getDeadline(): Deadline;
  once(event: 'cancelled', listener: () => void): unknown;
  off(event: 'cancelled', listener: () => void): unknown;
}

/** The calls that one service is answering. */
export class CallsInFlight {
  readonly #calls = new Set<CallScope>();
  readonly #maxCalls: number;
  #stopped = false;
  #wake = () => {};

  constructor(maxCalls: number) {
    this.#maxCalls = maxCalls;
  }

  /**
   * Lets a call in until it is disposed of.
   *
   * @throws ServiceError TOO_MANY_CALLS or STOPPING
   */
  open(call: AnyCall): CallScope {
    if (this.#stopped) throw stopping();
    if (this.#calls.size >= this.#maxCalls) {
      const metadata = { limit: String(this.#maxCalls) };
      throw resourceExhausted('TOO_MANY_CALLS', 'too many calls in flight', { metadata });
    }
    const scope = new CallScope(call, () => this.#close(scope));
    this.#calls.add(scope);
    return scope;
  }

  /** Fires the signal of every call, and lets none in any more. */
  stop(): void {
    this.#stopped = true;
    for (const scope of this.#calls) scope.abort(stopping());
  }

  /** Resolves once no call is in flight. */
  async idle(): Promise<void> {
    while (this.#calls.size > 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #close(scope: CallScope): void {
    this.#calls.delete(scope);
    if (this.#calls.size === 0) this.#wake();
  }
}

/** One call in flight, and the signal that tells when nobody waits for its answer any longer. */
export class CallScope implements Disposable {
  readonly #controller = new AbortController();
  readonly #call: AnyCall;
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #close: () => void;
  readonly #cancel = () => this.abort(cancelled());

  constructor(call: AnyCall, close: () => void) {
    this.#call = call;
    this.#close = close;
    call.once('cancelled', this.#cancel);
    const leftMs = Number(call.getDeadline()) - Date.now();
    if (leftMs <= MAX_TIMER_MS) this.#timer = setTimeout(() => this.abort(tooLate()), leftMs);
  }

  /** Its reason is the `ServiceError` that the call then ends in. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  abort(reason: ServiceError): void {
    this.#controller.abort(reason);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#call.off('cancelled', this.#cancel); // grpc-js emits it for calls that ended well, too
    this.#close();
  }
}

function stopping(): ServiceError {
  return unavailable('STOPPING', 'the service is stopping');
}

function cancelled(): ServiceError {
  return new ServiceError(Code.CANCELLED, 'CANCELLED', 'the client cancelled the call');
}

function tooLate(): ServiceError {
  return new ServiceError(Code.DEADLINE_EXCEEDED, 'DEADLINE', "the call's deadline passed");
}
