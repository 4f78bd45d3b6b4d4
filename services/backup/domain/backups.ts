import { HEADS_AT_ONCE, LISTED_AT_ONCE } from '../limits.ts';
import type { BackupStore, StoredObject } from '../store/store.ts';
import { DamageError } from './coding.ts';
import { decodeHead, type Head } from './head.ts';
import { inParallel } from './in-parallel.ts';
import { type DatabaseName, keys, type Note, noteInKey, numberInKey } from './keys.ts';
import { decodeFailure, type Failure } from './verdict.ts';

/** A head with the notes about its backup, as a listing tells of them: nothing was read. */
export interface HeadEntry {
  readonly number: number;
  readonly object: StoredObject;
  /** When each note was made, in milliseconds since 1970-01-01 UTC, by the store's clock. */
  readonly notes: ReadonlyMap<Note, number>;
}

/** A kept backup: its head, and what the store says of that. */
export interface KeptBackup {
  head: Head;
  /** When it was committed, in milliseconds since 1970-01-01 UTC, by the store's clock. */
  createdAtMs: number;
  /** Bytes that it added to the store. */
  storedBytes: number;
  notes: HeadEntry['notes'];
  /** Why its verification failed, where it did. */
  failure: Failure | undefined;
}

/** Highest number in use, and the newest backup that counts. */
export interface Newest {
  /** 0 where there was never one. */
  highestNumber: number;
  /** The highest head, be it of a backup or not; undefined where there is none or it is damaged. */
  highest: Head | undefined;
  /** The newest backup that has not failed its verification. */
  backup: KeptBackup | undefined;
  /** The newest that passed it. */
  passed: HeadEntry | undefined;
}

/** Whether a backup's verification has failed: a failure outweighs that it passed once. */
export function hasFailed({ notes }: Pick<HeadEntry, 'notes'>): boolean {
  return notes.has('failed');
}

/** Whether a backup has passed its verification, and not failed one since. */
export function hasPassed({ notes }: Pick<HeadEntry, 'notes'>): boolean {
  return notes.has('passed') && !notes.has('failed');
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

  /** The newest state: nearly always one short listing and one small read. */
  async newest(signal: AbortSignal): Promise<Newest> {
    const newest: Newest = {
      ...{ highestNumber: 0, highest: undefined, backup: undefined, passed: undefined },
    };
    for await (const entry of this.entries(Number.MAX_SAFE_INTEGER, signal)) {
      const isHighest = newest.highestNumber === 0;
      if (hasPassed(entry)) newest.passed ??= entry;
      if (isHighest || (newest.backup === undefined && !hasFailed(entry))) {
        const kept = await this.#read(entry, signal);
        if (isHighest) Object.assign(newest, { highestNumber: entry.number, highest: kept?.head });
        if (kept && !kept.head.deleted && !hasFailed(entry)) newest.backup ??= kept;
      }
      if (newest.backup && newest.passed) break;
    }
    return newest;
  }

  /** The backup with this number; undefined where there is none. Throws DamageError. */
  async numbered(number: number, signal: AbortSignal): Promise<KeptBackup | undefined> {
    for await (const entry of this.entries(number + 1, signal, HEADS_AT_ONCE)) {
      if (entry.number !== number) break;
      const kept = await this.#readWhole(entry, signal);
      return kept?.head.deleted ? undefined : kept;
    }
    return undefined;
  }

  /** The newest `limit` backups older than the one numbered `before`, newest first. */
  async list(before: number, limit: number, signal: AbortSignal): Promise<KeptBackup[]> {
    const found: KeptBackup[] = [];
    let some: HeadEntry[] = [];
    const readSome = async () => {
      const read: (KeptBackup | undefined)[] = [];
      await inParallel(HEADS_AT_ONCE, [...some.entries()], async ([index, entry]) => {
        read[index] = await this.#read(entry, signal);
      });
      for (const kept of read) if (kept && !kept.head.deleted) found.push(kept);
      some = [];
    };
    for await (const entry of this.entries(before, signal)) {
      some.push(entry);
      if (found.length + some.length >= limit) await readSome();
      if (found.length >= limit) break;
    }
    await readSome();
    return found.slice(0, limit);
  }

  /**
   * The heads with numbers below `before`, highest first; those of numbers that no backup has any more
   * among them. `first`: how many objects to list at first.
   */
  async *entries(
    before: number,
    signal: AbortSignal,
    first = HEADS_AT_ONCE,
  ): AsyncGenerator<HeadEntry, void> {
    let under: { number: number; object: StoredObject; notes: Map<Note, number> } | undefined;
    for await (const object of this.#objects(before, signal, first)) {
      const number = numberInKey(object.key);
      if (number !== undefined) {
        if (under !== undefined) yield under;
        under = { number, object, notes: new Map() };
        continue;
      }
      const noted = noteInKey(object.key);
      // A note may outlive its head for a moment.
      if (noted?.number === under?.number) under?.notes.set(noted!.note, object.storedAtMs);
    }
    if (under !== undefined) yield under;
  }

  async *#objects(
    before: number,
    signal: AbortSignal,
    first: number,
  ): AsyncGenerator<StoredObject, void> {
    const prefix = keys.heads(this.prefix);
    let startAfter = keys.head(this.prefix, before);
    for (let limit = first; ; limit = LISTED_AT_ONCE) {
      const objects = await this.#store.list(prefix, { limit, startAfter }, signal);
      yield* objects;
      if (objects.length < limit) return;
      startAfter = objects.at(-1)!.key;
    }
  }

  /** As `#readWhole`; of a damaged head it tells, and gives undefined. */
  async #read(entry: HeadEntry, signal: AbortSignal): Promise<KeptBackup | undefined> {
    try {
      return await this.#readWhole(entry, signal);
    } catch (error) {
      if (!(error instanceof DamageError)) throw error;
      this.#onDamage(entry.object.key, error);
      return undefined;
    }
  }

  /** Undefined where it was deleted meanwhile. Throws DamageError. */
  async #readWhole(entry: HeadEntry, signal: AbortSignal): Promise<KeptBackup | undefined> {
    const { number, object, notes } = entry;
    const [bytes, noted] = await Promise.all([
      this.#store.get(object.key, undefined, signal),
      hasFailed(entry) &&
        this.#store.get(keys.note(this.prefix, number, 'failed'), undefined, signal),
    ]);
    if (bytes === undefined) return undefined;
    const head = decodeHead(bytes);
    // It may be whole, but that of another key.
    if (keys.database(head) !== this.prefix || head.number !== number) {
      throw new DamageError('head of another backup');
    }
    const failure = noted ? decodeFailure(noted) : undefined;
    const { storedAtMs, sizeBytes } = object;
    return {
      head,
      createdAtMs: storedAtMs,
      storedBytes: head.storedBytes + sizeBytes,
      notes,
      failure,
    };
  }
}
