import type {
  BackupStore,
  ByteRange,
  ListOptions,
  StoredObject,
} from '../../../services/backup/store/store.ts';

/** What befalls a put or a deletion: it never reaches the store, or its answer never comes back. */
export type PutFault = 'lost' | 'answer lost';

/** A store whose puts go wrong as a test says, and which counts what is under way. */
export class FaultyStore implements BackupStore {
  readonly #inner: BackupStore;
  /** Decides on each put, before it begins. */
  onPut: (key: string, put: number) => PutFault | undefined | Promise<PutFault | undefined> = () =>
    undefined;
  /** Decides on each deletion, before it begins. */
  onDelete: (key: string) => PutFault | undefined = () => undefined;
  /** What a get gives in place of the bytes that are stored. */
  onGet: (key: string, bytes: Buffer) => Buffer = (_key, bytes) => bytes;
  /** Puts begun so far. */
  puts = 0;
  requestsInFlight = 0;

  constructor(inner: BackupStore) {
    this.#inner = inner;
  }

  put(key: string, bytes: Buffer, signal: AbortSignal): Promise<'created' | 'exists'> {
    return this.#count(async () => {
      this.puts += 1;
      const fault = await this.onPut(key, this.puts);
      signal.throwIfAborted();
      if (fault === 'lost') throw new Error('the put was lost');
      const outcome = await this.#inner.put(key, bytes, signal);
      if (fault === 'answer lost') throw new Error('the answer was lost');
      return outcome;
    });
  }

  get(key: string, range: ByteRange | undefined, signal: AbortSignal): Promise<Buffer | undefined> {
    return this.#count(async () => {
      const bytes = await this.#inner.get(key, range, signal);
      return bytes && this.onGet(key, bytes);
    });
  }

  delete(key: string, signal: AbortSignal): Promise<void> {
    return this.#count(async () => {
      const fault = this.onDelete(key);
      if (fault === 'lost') throw new Error('the deletion was lost');
      await this.#inner.delete(key, signal);
      if (fault === 'answer lost') throw new Error('the answer was lost');
    });
  }

  list(prefix: string, options: ListOptions, signal: AbortSignal): Promise<StoredObject[]> {
    return this.#count(() => this.#inner.list(prefix, options, signal));
  }

  nowMs(signal: AbortSignal): Promise<number> {
    return this.#inner.nowMs(signal);
  }

  check(signal: AbortSignal): Promise<void> {
    return this.#inner.check(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  async #count<T>(work: () => Promise<T>): Promise<T> {
    this.requestsInFlight += 1;
    try {
      return await work();
    } finally {
      this.requestsInFlight -= 1;
    }
  }
}
