import { HEADS_AT_ONCE } from '../limits.ts';
import type { BackupStore, StoredObject } from '../store/store.ts';
import { DamageError } from './coding.ts';
import { decodeHead, type Head } from './head.ts';
import { type DatabaseName, keys, numberInKey } from './keys.ts';

/** A kept backup: its head, and what the store says of that. */
export interface KeptBackup {
  head: Head;
  /** When it was committed, in milliseconds since 1970-01-01 UTC, by the store's clock. */
  createdAtMs: number;
  /** Bytes that it added to the store. */
  storedBytes: number;
}

/** Highest number in use, and the newest backup that counts. */
export interface Newest {
  /** 0 where there was never one. */
  highestNumber: number;
  /** The highest head, be it of a backup or not; undefined where there is none or it is damaged. */
  highest: Head | undefined;
  backup: KeptBackup | undefined;
}

/** The kept backups of one database. A head that is damaged is told to `onDamage`, and does not count. */
export class Backups {
  readonly #store: BackupStore;
  readonly #onDamage: (key: string, error: Error) => void;
  /** Prefix of the database's objects. */
  readonly prefix: string;

  constructor(
    store: BackupStore,
    name: DatabaseName,
    onDamage: (key: string, error: Error) => void,
  ) {
    this.#store = store;
    this.#onDamage = onDamage;
    this.prefix = keys.database(name);
  }

  /** The newest state: one listing and, nearly always, one small read. */
  async newest(signal: AbortSignal): Promise<Newest> {
    let highestNumber = 0;
    let highest: Head | undefined;
    let startAfter: string | undefined;
    for (;;) {
      const objects = await this.#listHeads(startAfter, HEADS_AT_ONCE, signal);
      for (const object of objects) {
        const kept = await this.#read(object, signal);
        if (highestNumber === 0) {
          highestNumber = numberInKey(object.key) ?? 0;
          highest = kept?.head;
        }
        if (kept !== undefined && !kept.head.deleted)
          return { highestNumber, highest, backup: kept };
      }
      startAfter = objects.at(-1)?.key;
      if (startAfter === undefined) return { highestNumber, highest, backup: undefined };
    }
  }

  /** The backup with this number; undefined where there is none. Throws DamageError. */
  async numbered(number: number, signal: AbortSignal): Promise<KeptBackup | undefined> {
    const key = keys.head(this.prefix, number);
    const objects = await this.#store.list(key, { limit: 1 }, signal);
    const bytes = objects[0] && (await this.#store.get(key, undefined, signal));
    if (bytes === undefined) return undefined;
    const kept = this.#describe(objects[0]!, decodeHead(bytes));
    return kept.head.deleted ? undefined : kept;
  }

  /** The newest `limit` backups older than the one numbered `before`, newest first. */
  async list(before: number, limit: number, signal: AbortSignal): Promise<KeptBackup[]> {
    const found: KeptBackup[] = [];
    let startAfter = keys.head(this.prefix, before);
    while (found.length < limit) {
      const objects = await this.#listHeads(startAfter, limit - found.length, signal);
      for (let at = 0; at < objects.length; at += HEADS_AT_ONCE) {
        const some = objects.slice(at, at + HEADS_AT_ONCE);
        const read = await Promise.all(some.map((object) => this.#read(object, signal)));
        for (const kept of read) if (kept !== undefined && !kept.head.deleted) found.push(kept);
      }
      if (objects.length === 0) break;
      startAfter = objects.at(-1)!.key;
    }
    return found;
  }

  #listHeads(
    startAfter: string | undefined,
    limit: number,
    signal: AbortSignal,
  ): Promise<StoredObject[]> {
    const prefix = keys.heads(this.prefix);
    return this.#store.list(prefix, { limit, ...(startAfter && { startAfter }) }, signal);
  }

  async #read(object: StoredObject, signal: AbortSignal): Promise<KeptBackup | undefined> {
    const bytes = await this.#store.get(object.key, undefined, signal);
    if (bytes === undefined) return undefined;
    try {
      return this.#describe(object, decodeHead(bytes));
    } catch (error) {
      if (!(error instanceof DamageError)) throw error;
      this.#onDamage(object.key, error);
      return undefined;
    }
  }

  /** Throws DamageError where the head is whole, but that of another key. */
  #describe(object: StoredObject, head: Head): KeptBackup {
    if (keys.database(head) !== this.prefix || head.number !== numberInKey(object.key)) {
      throw new DamageError('head of another backup');
    }
    return {
      head,
      createdAtMs: object.storedAtMs,
      storedBytes: head.storedBytes + object.sizeBytes,
    };
  }
}
