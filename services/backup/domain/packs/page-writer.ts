import { FAST_LEVEL, FramePacker, type PackedFrame } from '../../../../clients/format/frames.ts';
import { DIGEST_BYTES, FRAME_BYTES } from '../../../../clients/format/units.ts';
import { FRAMES_AT_ONCE } from '../../limits.ts';
import type { FramePlace, PagePlace } from './map.ts';
import { type MapBuilder, newFramePlace } from './map-file.ts';
import type { PackWriter } from './pack-writer.ts';

/** A frame that is being filled. */
interface OpenFrame {
  bytes: Buffer;
  pages: number[];
  digests: Buffer;
  rawBytes: number;
  number: number;
  place: FramePlace;
}

/**
 * Stores pages, which come ascending: gathers them in frames, packs some frames at once, and gives
 * them to a pack writer. Holds a fixed amount of memory, and makes the caller wait when it is used up.
 */
export class PageWriter implements AsyncDisposable {
  readonly #packs: PackWriter;
  readonly #map: MapBuilder;
  readonly #level: number;
  readonly #freeFrames: Buffer[] = [];
  readonly #freePackers: FramePacker[] = [];
  readonly #packing: { frame: OpenFrame; packer: FramePacker; packed: Promise<PackedFrame> }[] = [];
  readonly #resources = new DisposableStack();
  #frame: OpenFrame | undefined;

  /**
   * Writes frames, packed with this level of zstd, to `packs`, and their places into `map`; the caller
   * disposes of `packs` afterwards.
   */
  constructor(packs: PackWriter, map: MapBuilder, level = FAST_LEVEL) {
    this.#packs = packs;
    this.#map = map;
    this.#level = level;
  }

  /**
   * Takes a page's bytes, which it copies, and tells where the page will be.
   *
   * @throws what kept an earlier page from being stored
   */
  async add(page: number, bytes: Uint8Array, digest: Uint8Array): Promise<PagePlace> {
    this.#packs.check();
    if (this.#frame === undefined) this.#frame = this.#openFrame();
    const frame = this.#frame;
    const position = frame.pages.length;
    frame.bytes.set(bytes, frame.rawBytes);
    frame.digests.set(digest, position * DIGEST_BYTES);
    frame.rawBytes += bytes.length;
    frame.pages.push(page);
    const { pageSizeBytes } = this.#map.division;
    if (frame.rawBytes + pageSizeBytes > FRAME_BYTES) await this.#closeFrame();
    return { frame: frame.number, position };
  }

  /** Stores what is still held, and returns when all of it is durable. */
  async finish(): Promise<void> {
    await this.#closeFrame();
    while (this.#packing.length > 0) await this.#takePacked();
    await this.#packs.finish();
  }

  /** Ends what is under way, and returns when nothing of it uses memory any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#packing.map(({ packed }) => packed));
    this.#resources.dispose();
  }

  #openFrame(): OpenFrame {
    const place = newFramePlace();
    const most = FRAME_BYTES / this.#map.division.pageSizeBytes;
    return {
      bytes: this.#freeFrames.pop() ?? Buffer.allocUnsafeSlow(FRAME_BYTES),
      pages: [],
      digests: Buffer.allocUnsafe(most * DIGEST_BYTES),
      rawBytes: 0,
      number: this.#map.addFrame(place),
      place,
    };
  }

  async #closeFrame(): Promise<void> {
    const frame = this.#frame;
    if (frame === undefined) return;
    this.#frame = undefined;
    const packer = this.#freePackers.pop() ?? this.#resources.use(new FramePacker(this.#level));
    const packed = packer.pack(frame.bytes.subarray(0, frame.rawBytes));
    this.#packs.watch(packed);
    this.#packing.push({ frame, packer, packed });
    if (this.#packing.length >= FRAMES_AT_ONCE) await this.#takePacked();
  }

  /** Puts the oldest frame into a pack, once it is packed. */
  async #takePacked(): Promise<void> {
    const { frame, packer, packed } = this.#packing[0]!;
    const data = await packed;
    this.#packing.shift();
    const { pages, digests, rawBytes } = frame;
    const group = { pages, digests: digests.subarray(0, pages.length * DIGEST_BYTES), rawBytes };
    await this.#packs.add(group, data, frame.place);
    this.#freeFrames.push(frame.bytes);
    this.#freePackers.push(packer);
  }
}
