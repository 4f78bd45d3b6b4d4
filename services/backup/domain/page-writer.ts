import { randomBytes } from 'node:crypto';
import { FramePacker, type PackedFrame } from '../../../clients/format/frames.ts';
import { DIGEST_BYTES, FRAME_BYTES } from '../../../clients/format/units.ts';
import { FRAMES_AT_ONCE, PACK_BYTES, PACKS_AT_ONCE } from '../limits.ts';
import type { BackupStore } from '../store/store.ts';
import type { PagePlace } from './base.ts';
import { keys, packId } from './keys.ts';
import type { FramePlace } from './map.ts';
import type { MapBuilder } from './map-file.ts';
import { PackBuilder, type PageGroup } from './pack.ts';

/** Where a page writer's pages go. */
export interface PageWriterOptions {
  store: BackupStore;
  prefix: string;
  uploadId: string;
  pageSizeBytes: number;
  map: MapBuilder;
  signal: AbortSignal;
}

/** A frame that is being filled. */
interface OpenFrame {
  bytes: Buffer;
  pages: number[];
  digests: Buffer;
  rawBytes: number;
  number: number;
  place: FramePlace;
}

/** A pack that is being filled. */
interface OpenPack {
  id: string;
  bytes: Buffer;
  builder: PackBuilder;
  number: number;
  place: { id: string; indexOffset: number; sizeBytes: number };
}

/**
 * Stores pages, which come ascending: gathers them in frames, packs some frames at once, gathers
 * those in packs, and stores some packs at once. Holds a fixed amount of memory, and makes the
 * caller wait when it is used up.
 */
export class PageWriter implements AsyncDisposable {
  readonly #options: PageWriterOptions;
  readonly #attempt = randomBytes(8).toString('hex');
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  readonly #freeFrames: Buffer[] = [];
  readonly #freePackers: FramePacker[] = [];
  readonly #freePacks: Buffer[] = [];
  readonly #packing: { frame: OpenFrame; packer: FramePacker; packed: Promise<PackedFrame> }[] = [];
  readonly #resources = new DisposableStack();
  readonly #storing: Promise<void>[] = [];
  #frame: OpenFrame | undefined;
  #pack: OpenPack | undefined;
  #packs = 0;
  #failure: { error: unknown } | undefined;
  #storedBytes = 0;

  constructor(options: PageWriterOptions) {
    this.#options = options;
    this.#signal = AbortSignal.any([options.signal, this.#stop.signal]);
  }

  /** Bytes of packs that are durable. */
  get storedBytes(): number {
    return this.#storedBytes;
  }

  /**
   * Takes a page's bytes, which it copies, and tells where the page will be.
   *
   * @throws what kept an earlier page from being stored
   */
  async add(page: number, bytes: Uint8Array, digest: Uint8Array): Promise<PagePlace> {
    if (this.#failure !== undefined) throw this.#failure.error;
    if (this.#frame === undefined) this.#frame = this.#openFrame();
    const frame = this.#frame;
    const position = frame.pages.length;
    frame.bytes.set(bytes, frame.rawBytes);
    frame.digests.set(digest, position * DIGEST_BYTES);
    frame.rawBytes += bytes.length;
    frame.pages.push(page);
    if (frame.rawBytes + this.#options.pageSizeBytes > FRAME_BYTES) await this.#closeFrame();
    return { frame: frame.number, position };
  }

  /** Stores what is still held, and returns when all of it is durable. */
  async finish(): Promise<void> {
    await this.#closeFrame();
    while (this.#packing.length > 0) await this.#takePacked();
    this.#closePack();
    while (this.#storing.length > 0) await this.#storing.shift();
  }

  /** Ends what is under way, and returns when nothing of it uses memory any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await Promise.allSettled([...this.#packing.map(({ packed }) => packed), ...this.#storing]);
    this.#resources.dispose();
  }

  #openFrame(): OpenFrame {
    const place = { pack: -1, offset: 0, storedBytes: 0, rawBytes: 0, codec: 0 };
    const most = FRAME_BYTES / this.#options.pageSizeBytes;
    return {
      bytes: this.#freeFrames.pop() ?? Buffer.allocUnsafeSlow(FRAME_BYTES),
      pages: [],
      digests: Buffer.allocUnsafe(most * DIGEST_BYTES),
      rawBytes: 0,
      number: this.#options.map.addFrame(place),
      place,
    };
  }

  async #closeFrame(): Promise<void> {
    const frame = this.#frame;
    if (frame === undefined) return;
    this.#frame = undefined;
    const packer = this.#freePackers.pop() ?? this.#resources.use(new FramePacker());
    const packed = packer.pack(frame.bytes.subarray(0, frame.rawBytes));
    this.#watch(packed);
    this.#packing.push({ frame, packer, packed });
    if (this.#packing.length >= FRAMES_AT_ONCE) await this.#takePacked();
  }

  /** Puts the oldest frame into the pack, once it is packed. */
  async #takePacked(): Promise<void> {
    const { frame, packer, packed } = this.#packing[0]!;
    const data = await packed;
    this.#packing.shift();
    this.#freePackers.push(packer);
    const group: PageGroup = {
      pages: frame.pages,
      digests: frame.digests.subarray(0, frame.pages.length * DIGEST_BYTES),
      rawBytes: frame.rawBytes,
    };
    if (this.#pack !== undefined && !this.#pack.builder.fits(group, data)) this.#closePack();
    if (this.#pack === undefined) this.#pack = await this.#openPack();
    const offset = this.#pack.builder.add(group, data);
    Object.assign(frame.place, {
      pack: this.#pack.number,
      offset,
      storedBytes: data.data.length,
      rawBytes: frame.rawBytes,
      codec: data.codec,
    });
    this.#freeFrames.push(frame.bytes);
  }

  async #openPack(): Promise<OpenPack> {
    while (this.#storing.length >= PACKS_AT_ONCE) await this.#storing.shift();
    const bytes = this.#freePacks.pop() ?? Buffer.allocUnsafeSlow(PACK_BYTES);
    const id = packId(this.#options.uploadId, this.#attempt, this.#packs);
    this.#packs += 1;
    const place = { id, indexOffset: 0, sizeBytes: 0 };
    const number = this.#options.map.addPack(place);
    return { id, bytes, builder: new PackBuilder(bytes), number, place };
  }

  #closePack(): void {
    const pack = this.#pack;
    if (pack === undefined) return;
    this.#pack = undefined;
    const { bytes, indexOffset } = pack.builder.finish();
    Object.assign(pack.place, { indexOffset, sizeBytes: bytes.length });
    const storing = this.#store(pack, bytes);
    this.#watch(storing);
    this.#storing.push(storing);
  }

  async #store(pack: OpenPack, bytes: Buffer): Promise<void> {
    const { store, prefix } = this.#options;
    const outcome = await store.put(keys.pack(prefix, pack.id), bytes, this.#signal);
    if (outcome !== 'created') throw new Error(`pack ${pack.id} was there before`);
    this.#storedBytes += bytes.length;
    this.#freePacks.push(pack.bytes);
  }

  /** An error comes out of the next call, if not where the result is awaited. */
  #watch(work: Promise<unknown>): void {
    work.catch((error: unknown) => {
      this.#failure ??= { error };
    });
  }
}
