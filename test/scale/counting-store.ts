import type { BackupStore } from '../../services/backup/store/store.ts';

/** What was asked of a store. */
export interface Asked {
  lists: number;
  reads: number;
  others: number;
}

/** A store that counts what is asked of it. */
export class CountingStore implements BackupStore {
  readonly #inner: BackupStore;
  #asked: Asked = { lists: 0, reads: 0, others: 0 };

  constructor(inner: BackupStore) {
    this.#inner = inner;
  }

  get requestsInFlight(): number {
    return this.#inner.requestsInFlight;
  }

  /** What was asked since the last time that this was. */
  taken(): Asked {
    const asked = this.#asked;
    this.#asked = { lists: 0, reads: 0, others: 0 };
    return asked;
  }

  list: BackupStore['list'] = (...of) => {
    this.#asked.lists += 1;
    return this.#inner.list(...of);
  };
  get: BackupStore['get'] = (...of) => {
    this.#asked.reads += 1;
    return this.#inner.get(...of);
  };
  put: BackupStore['put'] = (...of) => {
    this.#asked.others += 1;
    return this.#inner.put(...of);
  };
  delete: BackupStore['delete'] = (...of) => {
    this.#asked.others += 1;
    return this.#inner.delete(...of);
  };
  check: BackupStore['check'] = (...of) => {
    this.#asked.others += 1;
    return this.#inner.check(...of);
  };
  // Known from the answers to the others.
  nowMs: BackupStore['nowMs'] = (...of) => this.#inner.nowMs(...of);

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#inner[Symbol.asyncDispose]();
  }
}
