import type {
  BackupStore,
  ByteRange,
  ListOptions,
  StoredObject,
} from '../../../services/backup/store/store.ts';

/** A store that lets a test do something before or after each call, such as throw. */
export class SteppingStore implements BackupStore {
  readonly #inner: BackupStore;
  /** Called before each call, with its number from 1 on. */
  before: (call: number) => Promise<void> | void = () => {};
  /** Called after each call, likewise. */
  after: (call: number) => Promise<void> | void = () => {};
  /** Calls begun so far. */
  calls = 0;
  requestsInFlight = 0;

  constructor(inner: BackupStore) {
    this.#inner = inner;
  }

  put(key: string, bytes: Buffer, signal: AbortSignal): Promise<'created' | 'exists'> {
    return this.#step(() => this.#inner.put(key, bytes, signal));
  }

  get(key: string, range: ByteRange | undefined, signal: AbortSignal): Promise<Buffer | undefined> {
    return this.#step(() => this.#inner.get(key, range, signal));
  }

  delete(key: string, signal: AbortSignal): Promise<void> {
    return this.#step(() => this.#inner.delete(key, signal));
  }

  list(prefix: string, options: ListOptions, signal: AbortSignal): Promise<StoredObject[]> {
    return this.#step(() => this.#inner.list(prefix, options, signal));
  }

  nowMs(signal: AbortSignal): Promise<number> {
    return this.#inner.nowMs(signal);
  }

  check(signal: AbortSignal): Promise<void> {
    return this.#inner.check(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  async #step<T>(work: () => Promise<T>): Promise<T> {
    this.calls += 1;
    const call = this.calls;
    await this.before(call);
    const outcome = await work();
    await this.after(call);
    return outcome;
  }
}

/** Something that counts how many calls it makes, and can be done again and again. */
export type Work<T> = (store: SteppingStore) => Promise<T>;

/** How many calls some work makes. */
export async function callsOf(inner: BackupStore, work: Work<unknown>): Promise<number> {
  const store = new SteppingStore(inner);
  await work(store);
  return store.calls;
}

/** Does some work, and other work within it, before the call with this number. */
export async function interleave<T>(
  inner: BackupStore,
  work: Work<T>,
  call: number,
  other: () => Promise<unknown>,
): Promise<PromiseSettledResult<T>> {
  const store = new SteppingStore(inner);
  store.before = async (number) => {
    if (number === call) await other();
  };
  const [outcome] = await Promise.allSettled([work(store)]);
  return outcome;
}

/** Does some work up to the call with this number, which fails: before it has reached the store, or after. */
export async function crash(
  inner: BackupStore,
  work: Work<unknown>,
  call: number,
  at: 'before' | 'after',
): Promise<void> {
  const store = new SteppingStore(inner);
  let isGone = false;
  const fail = (number: number) => {
    if (number === call) isGone = true;
    if (isGone) throw new Error('crashed');
  };
  store.before = (number) => {
    if (at === 'before' || isGone) fail(number);
  };
  store.after = fail;
  await work(store).then(
    () => {
      throw new Error('it should have crashed');
    },
    (error: Error) => {
      if (error.message !== 'crashed') throw error;
    },
  );
}
