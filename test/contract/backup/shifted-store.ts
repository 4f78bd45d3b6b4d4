import type {
  BackupStore,
  ByteRange,
  ListOptions,
  StoredObject,
} from '../../../services/backup/store/store.ts';

/** A store whose clock runs ahead as far as a test says; what was stored keeps the time it had then. */
export class ShiftedStore implements BackupStore {
  readonly #inner: BackupStore;
  readonly #shifts = new Map<string, number>();
  #aheadMs = 0;

  constructor(inner: BackupStore) {
    this.#inner = inner;
  }

  get requestsInFlight(): number {
    return this.#inner.requestsInFlight;
  }

  /** Lets so much time pass. */
  pass(ms: number): void {
    this.#aheadMs += ms;
  }

  async put(key: string, bytes: Buffer, signal: AbortSignal): Promise<'created' | 'exists'> {
    const aheadMs = this.#aheadMs;
    const outcome = await this.#inner.put(key, bytes, signal);
    if (outcome === 'created') this.#shifts.set(key, aheadMs);
    return outcome;
  }

  get(key: string, range: ByteRange | undefined, signal: AbortSignal): Promise<Buffer | undefined> {
    return this.#inner.get(key, range, signal);
  }

  delete(key: string, signal: AbortSignal): Promise<void> {
    return this.#inner.delete(key, signal);
  }

  async list(prefix: string, options: ListOptions, signal: AbortSignal): Promise<StoredObject[]> {
    const objects = await this.#inner.list(prefix, options, signal);
    return objects.map((object) => ({
      ...object,
      storedAtMs: object.storedAtMs + (this.#shifts.get(object.key) ?? 0),
    }));
  }

  async nowMs(signal: AbortSignal): Promise<number> {
    return (await this.#inner.nowMs(signal)) + this.#aheadMs;
  }

  check(signal: AbortSignal): Promise<void> {
    return this.#inner.check(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
