/** What happens in a storm, as far as kills are timed by it. */
export type Happening =
  | 'message appended'
  | 'batch answered'
  | 'frame read'
  | 'part sent'
  | 'upload answered'
  | 'part read'
  | 'operation done';

/** Calls that a kill may hit. */
export type CallKind = 'append' | 'import' | 'sync' | 'upload' | 'download' | 'operation';

interface Waiter {
  left: number;
  resolve(): void;
}

/** Which calls are in flight and what has happened so far, so that kills strike in the middle of things. */
export class Activity {
  readonly #inFlight = new Map<CallKind, number>();
  readonly #waiters = new Map<Happening, Set<Waiter>>();

  /** A call begins; it ends when what is returned is disposed of. */
  begin(kind: CallKind): Disposable {
    this.#inFlight.set(kind, (this.#inFlight.get(kind) ?? 0) + 1);
    return {
      [Symbol.dispose]: () => this.#inFlight.set(kind, (this.#inFlight.get(kind) ?? 0) - 1),
    };
  }

  /** Something happened. */
  happened(what: Happening): void {
    for (const waiter of this.#waiters.get(what) ?? []) {
      waiter.left--;
      if (waiter.left <= 0) waiter.resolve();
    }
  }

  /** Waits until something has happened `times` more; rejects when the signal fires. */
  async after(what: Happening, times: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const waiters = this.#waiters.get(what) ?? new Set();
    this.#waiters.set(what, waiters);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter: Waiter = { left: times, resolve };
    const abort = () => reject(signal.reason);
    waiters.add(waiter);
    signal.addEventListener('abort', abort);
    try {
      await promise;
    } finally {
      signal.removeEventListener('abort', abort);
      waiters.delete(waiter);
    }
  }

  /** The calls in flight now, those of no call left out. */
  inFlight(): Partial<Record<CallKind, number>> {
    return Object.fromEntries([...this.#inFlight].filter(([, count]) => count > 0));
  }
}
