import { randomBytes } from 'node:crypto';
import type { PackedFrame } from '../../../../clients/format/frames.ts';
import { PACK_BYTES, PACKS_AT_ONCE } from '../../limits.ts';
import type { BackupStore } from '../../store/store.ts';
import type { Quota } from '../kept/quota.ts';
import { keys, packId } from '../keys.ts';
import type { FramePlace, PackPlace } from './map.ts';
import type { MapBuilder } from './map-file.ts';
import { PackBuilder, type PageGroup } from './pack.ts';

/** Where a pack writer's packs go. */
export interface PackWriterOptions {
  store: BackupStore;
  prefix: string;
  uploadId: string;
  map: MapBuilder;
  /** Longest that a pack stays open before it is stored, in milliseconds. */
  openMs: number;
  /** What may be stored; all where absent. */
  quota?: Quota;
  /** Ends puts under way. */
  signal: AbortSignal;
}

/** A pack that is being filled. */
interface OpenPack {
  id: string;
  bytes: Buffer;
  builder: PackBuilder;
  number: number;
  place: PackPlace;
  timer: NodeJS.Timeout;
}

/**
 * Gathers frames, whose pages come ascending, in packs, and stores some packs at once. Holds a fixed
 * amount of memory, and makes the caller wait when it is used up.
 */
export class PackWriter implements AsyncDisposable {
  readonly #options: PackWriterOptions;
  readonly #attempt = randomBytes(8).toString('hex');
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  readonly #freePacks: Buffer[] = [];
  readonly #storing: Promise<void>[] = [];
  #pack: OpenPack | undefined;
  #failure: { error: unknown } | undefined;
  #storedBytes = 0;
  #news = Promise.withResolvers<void>();

  constructor(options: PackWriterOptions) {
    this.#options = options;
    this.#signal = AbortSignal.any([options.signal, this.#stop.signal]);
    this.#news.promise.catch(() => {});
  }

  /** Bytes of packs that are durable. */
  get storedBytes(): number {
    return this.#storedBytes;
  }

  /** Resolves when the next pack is durable; rejects when something watched fails. */
  news(): Promise<void> {
    return this.#news.promise;
  }

  /** Makes the first error of work that nobody awaits yet come out of `check` and `news`. */
  watch(work: Promise<unknown>): void {
    work.catch((error: unknown) => {
      this.#failure ??= { error };
      this.#news.reject(this.#failure.error);
    });
  }

  /** Throws what went wrong before. */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** Takes a frame, which it copies, and completes its place. */
  async add(group: PageGroup, packed: PackedFrame, place: FramePlace): Promise<void> {
    this.check();
    if (this.#pack?.builder.fits(group, packed) === false) this.#closePack();
    const pack = this.#pack ?? (await this.#openPack(group.pages[0]!));
    const offset = pack.builder.add(group, packed);
    const { codec, data } = packed;
    const { rawBytes } = group;
    Object.assign(place, { pack: pack.number, offset, storedBytes: data.length, rawBytes, codec });
  }

  /** Stores what is still held, and returns when all of it is durable. */
  async finish(): Promise<void> {
    this.#closePack();
    while (this.#storing.length > 0) await this.#storing.shift();
    this.check();
  }

  /** Ends what is under way, takes no more, and returns when nothing of it uses memory any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#failure ??= { error: this.#stop.signal.reason };
    clearTimeout(this.#pack?.timer);
    await Promise.allSettled(this.#storing);
  }

  async #openPack(firstPage: number): Promise<OpenPack> {
    while (this.#storing.length >= PACKS_AT_ONCE) await this.#storing.shift();
    this.check();
    const { uploadId, map, openMs } = this.#options;
    const bytes = this.#freePacks.pop() ?? Buffer.allocUnsafeSlow(PACK_BYTES);
    const id = packId(uploadId, this.#attempt, firstPage);
    const place = { id, indexOffset: 0, sizeBytes: 0 };
    const number = map.addPack(place);
    const timer = setTimeout(() => this.#closePack(), openMs);
    this.#pack = { id, bytes, builder: new PackBuilder(bytes), number, place, timer };
    return this.#pack;
  }

  #closePack(): void {
    const pack = this.#pack;
    if (pack === undefined) return;
    this.#pack = undefined;
    clearTimeout(pack.timer);
    const { bytes, indexOffset } = pack.builder.finish(pack.id);
    Object.assign(pack.place, { indexOffset, sizeBytes: bytes.length });
    const storing = this.#store(pack, bytes);
    this.watch(storing);
    this.#storing.push(storing);
  }

  async #store(pack: OpenPack, bytes: Buffer): Promise<void> {
    const { store, prefix, quota } = this.#options;
    quota?.take(bytes.length);
    const outcome = await store.put(keys.pack(prefix, pack.id), bytes, this.#signal);
    if (outcome !== 'created') throw new Error(`pack ${pack.id} was there before`);
    this.#storedBytes += bytes.length;
    this.#freePacks.push(pack.bytes);
    if (this.#failure !== undefined) return;
    const { resolve } = this.#news;
    this.#news = Promise.withResolvers<void>();
    this.#news.promise.catch(() => {});
    resolve();
  }
}
