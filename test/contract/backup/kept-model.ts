import { expect } from 'vitest';
import { collect } from '../../../services/backup/domain/collection/collect.ts';
import { compact } from '../../../services/backup/domain/collection/compact.ts';
import { findLiving } from '../../../services/backup/domain/collection/living.ts';
import { tidy } from '../../../services/backup/domain/collection/tidy.ts';
import { keys } from '../../../services/backup/domain/keys.ts';
import { listAll } from '../../../services/backup/domain/listing.ts';
import { StoredMap } from '../../../services/backup/domain/packs/map-file.ts';
import { TRANSFER_MS } from '../../../services/backup/limits.ts';
import type { BackupStore } from '../../../services/backup/store/store.ts';
import type { Random } from '../../support/random.ts';
import { uploadChanges } from './dialogue.ts';
import { never } from './engines.ts';
import { FaultyStore, type PutFault } from './faulty-store.ts';
import { erase, pin, pruneOf, remove } from './keeping.ts';
import { ShiftedStore } from './shifted-store.ts';
import { GRACE_MS } from './tidying.ts';
import {
  age,
  download,
  downloadParts,
  list,
  madeDatabase,
  upload,
  writePage,
} from './transfers.ts';

/** A download that has begun, and what it must come to. */
interface Reading {
  readonly parts: ReturnType<typeof downloadParts>;
  readonly begun: Uint8Array[];
  readonly rest: Buffer;
}

/**
 * A user's database on a device, its backups as plain lists of files, and random things that happen to
 * both. After each of them the store must have the backups that the lists have.
 */
export class KeptModel {
  readonly #random: Random;
  readonly #inner: ShiftedStore;
  readonly #store: FaultyStore;
  readonly #database: string;
  readonly #prefix: string;
  /** Every backup by its number: what it holds; and which of them are pinned. */
  readonly #kept = new Map<bigint, Buffer>();
  readonly #pinned = new Set<bigint>();
  /** Uploads that were begun and not answered: they may be kept or not. */
  readonly #unanswered = new Map<string, Buffer>();
  #reading: Reading | undefined;
  #file: Buffer;
  #uploads = 0;
  /** What happened, in words. */
  readonly events: string[] = [];

  /** `pages`: about how large the database is. */
  constructor(store: BackupStore, database: string, pages: number, random: Random) {
    this.#random = random;
    this.#inner = new ShiftedStore(store);
    this.#store = new FaultyStore(this.#inner);
    this.#database = database;
    this.#prefix = keys.database({ user: 'alice', database });
    this.#file = madeDatabase(random.between(pages / 5, pages));
  }

  /** Lets one random thing happen, and looks at all backups now and then. */
  async step(): Promise<void> {
    const event = this.#random.pick([
      ...Array.from({ length: 6 }, () => 'upload' as const),
      ...(['brokenUpload', 'faultyUpload', 'busyUpload', 'busyUpload'] as const),
      ...(['delete', 'delete', 'pin', 'prune', 'read', 'read'] as const),
      ...(['tidy', 'tidy', 'crashedTidy', 'tidyTwice', 'pass', 'pass'] as const),
      ...(this.#random.oneIn(6) ? (['erase'] as const) : []),
    ]);
    this.events.push(event);
    await this[`_${event}`]();
    if (this.#random.oneIn(4)) await this.check();
  }

  /** The store has what was kept, and nothing else. */
  async check(): Promise<void> {
    await this.#settle();
    const listed = await this.#list();
    expect(listed.map(({ number }) => number).sort()).toEqual([...this.#kept.keys()].sort());
    const { newestNumber } = await age(this.#store, { database: this.#database });
    expect(newestNumber).toBe(listed[0]?.number ?? 0n);
    for (const [number, file] of this.#kept) await this.#expect(number, file);
  }

  /** When all is over and its times have passed, nothing is left that no backup needs. */
  async finish(): Promise<void> {
    await this.#endReading();
    await this.check();
    for (let rounds = 0; rounds < 3; rounds++) {
      this.#inner.pass(8 * TRANSFER_MS);
      await collect(this.#store, this.#prefix, TRANSFER_MS, never);
      this.#inner.pass(GRACE_MS);
      await collect(this.#store, this.#prefix, TRANSFER_MS, never);
    }
    await this.check();
    const { maps } = await findLiving(this.#store, this.#prefix, never);
    const needed = new Set(maps.map(({ key }) => key));
    for (const object of maps) {
      const { tables } = await StoredMap.open(this.#store, object, never);
      for (const { id } of tables.packs) needed.add(keys.pack(this.#prefix, id));
    }
    const stored = await Array.fromAsync(listAll(this.#inner, this.#prefix, never));
    const others = stored.filter(({ key }) => !key.startsWith(keys.heads(this.#prefix)));
    expect(others.map(({ key }) => key).filter((key) => !needed.has(key))).toEqual([]);
  }

  async _upload(): Promise<void> {
    this.#change();
    await this.#send();
  }

  /** The client goes in the midst of it, and perhaps never comes back. */
  async _brokenUpload(): Promise<void> {
    this.#change();
    let left = this.#random.between(1, 6);
    const watch = {
      onRequest: () => {
        if (left-- === 0) throw new Error('the client is gone');
      },
    };
    const start = this.#start();
    await this.#failing(() => uploadChanges(this.#store, this.#file, start, watch));
    if (this.#random.oneIn(2)) this.#uploads += 1;
  }

  /** The store fails in the midst of it. */
  async _faultyUpload(): Promise<void> {
    this.#change();
    this.#failAt(this.#random.between(1, 5));
    await this.#failing(() => this.#send());
    this.#unharmed();
    if (this.#random.oneIn(2)) this.#uploads += 1;
  }

  /** Others do what they do in the midst of it. */
  async _busyUpload(): Promise<void> {
    this.#change();
    let at = this.#random.between(1, 4);
    this.#store.onPut = async () => {
      if (--at !== 0) return undefined;
      this.#unharmed();
      if (this.#random.oneIn(2)) await this._delete();
      for (let times = this.#random.between(1, 3); times > 0; times--) {
        this.#pass(this.#random.between(0, 30) / 100);
        await this.#tidy();
      }
      return undefined;
    };
    await this.#failing(() => this.#send());
    this.#unharmed();
  }

  async _delete(): Promise<void> {
    if (this.#kept.size === 0) return;
    const number = this.#random.pick([...this.#kept.keys()]);
    await remove(this.#inner, { number, database: this.#database });
    this.#kept.delete(number);
    this.#pinned.delete(number);
  }

  async _pin(): Promise<void> {
    if (this.#kept.size === 0) return;
    const number = this.#random.pick([...this.#kept.keys()]);
    const unpin = this.#pinned.has(number);
    await pin(this.#inner, { number, database: this.#database, unpin });
    if (unpin) this.#pinned.delete(number);
    else this.#pinned.add(number);
  }

  /** What is pinned and what is newest stays. */
  async _prune(): Promise<void> {
    await this.#settle();
    const before = (await this.#list()).map(({ number }) => number);
    const policy = { last: this.#random.between(1, 5), daily: 0, weekly: 0, monthly: 0 };
    await pruneOf(this.#inner, { ...policy, floorMs: 0 }, this.#name());
    const after = new Set((await this.#list()).map(({ number }) => number));
    for (const [place, number] of before.entries()) {
      if (after.has(number)) continue;
      expect(place).toBeGreaterThanOrEqual(policy.last);
      expect(this.#pinned.has(number)).toBe(false);
      this.#kept.delete(number);
    }
  }

  async _erase(): Promise<void> {
    await this.#endReading();
    await erase(this.#inner, { database: this.#database });
    this.#kept.clear();
    this.#pinned.clear();
    this.#unanswered.clear();
    this.#uploads += 1;
  }

  /** A download begins, to end later. */
  async _read(): Promise<void> {
    await this.#endReading();
    if (this.#kept.size === 0) return;
    const [number, file] = this.#random.pick([...this.#kept]);
    const offset = this.#random.between(0, file.length);
    const request = { number, database: this.#database, offsetBytes: BigInt(offset) };
    const parts = downloadParts(this.#inner, request);
    await parts.next();
    const first = await parts.next();
    const begun = first.done || first.value.case !== 'data' ? [] : [Buffer.from(first.value.value)];
    this.#reading = { parts, begun, rest: file.subarray(offset) };
  }

  async _tidy(): Promise<void> {
    await this.#tidy();
  }

  async _crashedTidy(): Promise<void> {
    this.#failAt(this.#random.between(1, 12));
    await this.#tidy().catch(expectLost);
    this.#unharmed();
  }

  async _tidyTwice(): Promise<void> {
    await Promise.all([this.#tidy(), this.#tidy()]);
  }

  async _pass(): Promise<void> {
    await this.#endReading();
    this.#pass(this.#random.between(1, 40) / 10);
  }

  #pass(transfers: number): void {
    this.#inner.pass(transfers * TRANSFER_MS);
  }

  async #tidy(): Promise<void> {
    const only = this.#random.between(0, 3);
    if (only === 0) await collect(this.#store, this.#prefix, TRANSFER_MS, never);
    else if (only === 1) await compact(this.#store, this.#prefix, TRANSFER_MS, never);
    else {
      const onDamage = (error: Error) => {
        throw error;
      };
      const options = { store: this.#store, transferMs: TRANSFER_MS, onDamage, signal: never };
      await tidy(options, this.#prefix);
    }
  }

  async #endReading(): Promise<void> {
    if (this.#reading === undefined) return;
    const { parts, begun, rest } = this.#reading;
    this.#reading = undefined;
    for await (const part of parts) if (part.case === 'data') begun.push(part.value);
    expect(Buffer.concat(begun).equals(rest), 'a download').toBe(true);
  }

  #name() {
    return { user: 'alice', database: this.#database };
  }

  #start() {
    const uploadId = `upload ${this.#uploads}`;
    const sent = this.#unanswered.get(uploadId);
    // An id that may have a backup stays that of its file.
    if (sent !== undefined) this.#file = sent;
    else this.#unanswered.set(uploadId, this.#file);
    return { database: this.#database, uploadId };
  }

  async #send(): Promise<void> {
    const start = this.#start();
    const file = this.#file;
    const sending = this.#random.oneIn(3) ? upload : uploadChanges;
    const { backup } = await sending(this.#store, file, start);
    this.#uploads += 1;
    this.#unanswered.delete(start.uploadId);
    this.#kept.set(backup!.number, file);
  }

  /** Does what may be ended by a fault of the store, by the client, or by collection. */
  async #failing(work: () => Promise<unknown>): Promise<void> {
    await work().catch(expectLost);
  }

  /** Finds out what became of uploads that were not answered. */
  async #settle(): Promise<void> {
    for (const { number, uploadId } of await this.#list()) {
      const file = this.#unanswered.get(uploadId);
      if (file !== undefined) this.#kept.set(number, file);
    }
  }

  async #list() {
    return (await list(this.#inner, { database: this.#database, pageSize: 1_000 })).backups;
  }

  async #expect(number: bigint, file: Buffer): Promise<void> {
    const kept = await download(this.#store, { number, database: this.#database });
    expect(kept.file.equals(file), `backup ${number}`).toBe(true);
  }

  #failAt(put: number): void {
    const fault = this.#random.pick<PutFault>(['lost', 'answer lost']);
    let left = put;
    const fail = () => (--left === 0 ? fault : undefined);
    Object.assign(this.#store, { onPut: fail, onDelete: fail });
  }

  #unharmed(): void {
    Object.assign(this.#store, { onPut: () => undefined, onDelete: () => undefined });
  }

  #change(): void {
    const random = this.#random;
    const pages = this.#file.length / 4096;
    const seed = random.uint32();
    const change = random.between(0, 9);
    if (change === 0) return;
    this.#file = Buffer.from(this.#file);
    if (change === 1) this.#file = this.#file.subarray(0, random.between(1, pages) * 4096);
    else if (change < 4) {
      this.#file = Buffer.concat([this.#file, madeDatabase(random.between(1, 40), 4096, seed)]);
    } else {
      for (let n = random.between(1, 30); n > 0; n--) {
        writePage(this.#file, random.between(0, pages - 1), 4096, seed);
      }
    }
  }
}

function expectLost(error: unknown): void {
  const { message, reason } = error as Error & { reason?: string };
  if (reason === 'COLLECTED' || reason === 'TAKES_TOO_LONG') return;
  if (!/lost|the client is gone/.test(message)) throw error;
}
