import {
  HEADS_AT_ONCE,
  LISTED_AT_FIRST,
  LISTED_AT_ONCE,
  LISTED_GROWTH,
  TRANSFER_MS,
} from '../../limits.ts';
import type { BackupStore, StoredObject } from '../../store/store.ts';
import { DamageError } from '../coding.ts';
import { inParallel } from '../in-parallel.ts';
import { keys, NOTES, type Note, noteInKey, numberInKey } from '../keys.ts';
import { decodeFailure, type Failure } from '../verification/verdict.ts';
import { decodeHead, type Head } from './head.ts';

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
  /**
   * When its verification, or that of its root, was last passed, in milliseconds since 1970-01-01 UTC,
   * by the store's clock; undefined where it never was, or failed since.
   */
  passedAtMs: number | undefined;
  /** Why its verification failed, where it did. */
  failure: Failure | undefined;
}

/** A backup that has passed its verification. */
export interface PassedBackup {
  readonly number: number;
  /** When it was committed, in milliseconds since 1970-01-01 UTC, by the store's clock. */
  readonly createdAtMs: number;
  /** When its verification, or that of its root, was last passed; likewise. */
  readonly passedAtMs: number;
}

/** Highest number in use, and the newest backup that counts. */
export interface Newest {
  /** 0 where there was never one. */
  highestNumber: number;
  /** The highest head, be it of a backup or not; undefined where there is none or it is damaged. */
  highest: Head | undefined;
  /** Number of the last erasure: no backup up to it counts. 0 where there was none lately. */
  erasure: number;
  /** The newest backup that has not failed its verification. */
  backup: KeptBackup | undefined;
  /** The newest that passed it. */
  passed: PassedBackup | undefined;
}

/** Whether a backup's verification has failed: a failure outweighs that it passed once. */
export function hasFailed({ notes }: Pick<HeadEntry, 'notes'>): boolean {
  return notes.has('failed');
}

/** Whether a backup is deleted: only its number is still in use. */
export function isDeleted({ notes }: Pick<HeadEntry, 'notes'>): boolean {
  return notes.has('deleted') || notes.has('pruned');
}

/** The heads among objects of one database, which come as a listing gives them. */
export async function* headsAmong(
  objects: AsyncIterable<StoredObject> | Iterable<StoredObject>,
): AsyncGenerator<HeadEntry, void> {
  let under: { number: number; object: StoredObject; notes: Map<Note, number> } | undefined;
  for await (const object of objects) {
    const number = numberInKey(object.key);
    if (number !== undefined) {
      if (under !== undefined) yield under;
      // Number 0 only tells that uploads have begun.
      under = number === 0 ? undefined : { number, object, notes: new Map() };
      continue;
    }
    const noted = noteInKey(object.key);
    // A note may outlive its head for a moment.
    if (noted?.number === under?.number) under?.notes.set(noted!.note, object.storedAtMs);
  }
  if (under !== undefined) yield under;
}

/** The kept backups of one database. A head that is damaged is told to `onDamage`, and does not count. */
export class Backups {
  readonly #store: BackupStore;
  readonly #onDamage: (key: string, error: Error) => void;
  /** Prefix of the database's objects. */
  readonly prefix: string;

  constructor(store: BackupStore, prefix: string, onDamage: (key: string, error: Error) => void) {
    this.#store = store;
    this.#onDamage = onDamage;
    this.prefix = prefix;
  }

  /** The newest state: one short listing and one small read, but for a day after what `doubtHeads` is told of. */
  async newest(signal: AbortSignal): Promise<Newest> {
    const newest: Newest = {
      ...{ highestNumber: 0, highest: undefined, erasure: 0 },
      ...{ backup: undefined, passed: undefined },
    };
    let isKnown = false;
    // What the last head that was read tells: the notes tell only what passed since.
    let lastPassed: Head['lastPassed'];
    let isCertain = false;
    let looked = 0;
    const doubt: { sinceMs?: number } = {};
    for await (const entry of headsAmong(this.#noticing(doubt, signal))) {
      if (entry.number <= newest.erasure) break;
      looked += 1;
      const isHighest = newest.highestNumber === 0;
      if (isHighest) newest.highestNumber = entry.number;
      const counts = !isDeleted(entry) && !hasFailed(entry);
      // Below the one that was told of, which then is gone or has failed since.
      const isBelow = lastPassed !== undefined && entry.number < lastPassed.number;
      if (!isKnown || (counts && (newest.backup === undefined || isBelow))) {
        const kept = await this.#read(entry, signal);
        if (isHighest) newest.highest = kept?.head;
        if (kept === undefined) continue;
        if (!isKnown) newest.erasure = kept.head.erasure ?? 0;
        isKnown = true;
        lastPassed = kept.head.lastPassed;
        isCertain = kept.createdAtMs - TRANSFER_MS > (doubt.sinceMs ?? -Infinity);
        if (counts && !kept.head.deleted) newest.backup ??= kept;
      }
      if (counts) newest.passed ??= passedBackup(entry, lastPassed);
      if (!newest.backup) continue;
      // What passed while the newest was made stands right below it; of the rest, its head tells.
      if (isCertain && looked >= 2) newest.passed ??= deepPassed(lastPassed);
      if (newest.passed || (isCertain && looked >= 2)) break;
    }
    return newest;
  }

  /** The objects of all heads, highest first; `doubt` is told since when heads may be wrong, if ever. */
  async *#noticing(
    doubt: { sinceMs?: number },
    signal: AbortSignal,
  ): AsyncGenerator<StoredObject, void> {
    for await (const object of this.#objects(Number.MAX_SAFE_INTEGER, signal, LISTED_AT_FIRST)) {
      if (object.key === keys.doubt(this.prefix)) doubt.sinceMs = object.storedAtMs;
      else yield object;
    }
  }

  /** The backup with this number; undefined where there is none. Throws DamageError. */
  async numbered(number: number, signal: AbortSignal): Promise<KeptBackup | undefined> {
    const entry = await this.head(number, signal);
    if (entry === undefined || isDeleted(entry)) return undefined;
    const kept = await this.#readWhole(entry, signal);
    return kept?.head.deleted ? undefined : kept;
  }

  /** The head with this number, also that of a deleted backup; undefined where there is none. */
  async head(number: number, signal: AbortSignal): Promise<HeadEntry | undefined> {
    // Notes of the one above come first.
    for await (const entry of this.heads(number + 1, signal, 1 + 2 * NOTES.length)) {
      return entry.number === number ? entry : undefined;
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

  /** The backups with numbers below `before`, highest first; nothing of them is read. */
  async *entries(before: number, signal: AbortSignal): AsyncGenerator<HeadEntry, void> {
    for await (const entry of this.heads(before, signal)) if (!isDeleted(entry)) yield entry;
  }

  /**
   * The heads with numbers below `before`, highest first, those of deleted backups among them. `first`:
   * how many objects are listed before it is known that more are wanted.
   */
  heads(
    before: number,
    signal: AbortSignal,
    first = LISTED_AT_FIRST,
  ): AsyncGenerator<HeadEntry, void> {
    return headsAmong(this.#objects(before, signal, first));
  }

  async *#objects(
    before: number,
    signal: AbortSignal,
    first: number,
  ): AsyncGenerator<StoredObject, void> {
    const prefix = keys.heads(this.prefix);
    let startAfter = keys.head(this.prefix, before);
    for (let limit = first; ; limit = Math.min(limit * LISTED_GROWTH, LISTED_AT_ONCE)) {
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

  /** Undefined where it was deleted meanwhile. Throws DamageError where it is so at a second look. */
  async #readWhole(entry: HeadEntry, signal: AbortSignal): Promise<KeptBackup | undefined> {
    try {
      return await this.#readOnce(entry, signal);
    } catch (error) {
      if (!(error instanceof DamageError)) throw error;
      // Else what was damaged on its way alone would make the backup before it the newest.
      return this.#readOnce(entry, signal);
    }
  }

  async #readOnce(entry: HeadEntry, signal: AbortSignal): Promise<KeptBackup | undefined> {
    const { number, object, notes } = entry;
    const [bytes, noted] = await Promise.all([
      this.#store.get(object.key, undefined, signal),
      hasFailed(entry) &&
        this.#store.get(keys.note(this.prefix, number, 'failed'), undefined, signal),
    ]);
    if (bytes === undefined) return undefined;
    const head = decodeHead(bytes);
    // It may be whole, but that of another key. An erasure's names nobody.
    const isHere = head.deleted || keys.database(head) === this.prefix;
    if (!isHere || head.number !== number) {
      throw new DamageError('head of another backup');
    }
    const { storedAtMs, sizeBytes } = object;
    return {
      head,
      createdAtMs: storedAtMs,
      storedBytes: head.storedBytes + sizeBytes,
      notes,
      passedAtMs: hasFailed(entry) ? undefined : passedBackup(entry, head.lastPassed)?.passedAtMs,
      failure: noted ? decodeFailure(noted) : undefined,
    };
  }
}

/** The backup that a head tells of as the newest that has passed, which stands below it. */
function deepPassed(told: Head['lastPassed']): PassedBackup | undefined {
  if (told?.createdAtMs === undefined) return undefined;
  return { number: told.number, createdAtMs: told.createdAtMs, passedAtMs: told.atMs };
}

/** What an entry is as one that has passed, where its note says so or what a head has told. */
function passedBackup(
  { number, object, notes }: HeadEntry,
  told: Head['lastPassed'],
): PassedBackup | undefined {
  const passedAtMs = notes.get('passed') ?? (told?.number === number ? told.atMs : undefined);
  if (passedAtMs === undefined) return undefined;
  return { number, createdAtMs: object.storedAtMs, passedAtMs };
}
