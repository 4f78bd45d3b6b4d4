import { digest } from '../../../../clients/format/digests.ts';
import { FrameCodec, type PackedFrame } from '../../../../clients/format/frames.ts';
import { DIGEST_BYTES } from '../../../../clients/format/units.ts';
import { PACK_BYTES, PACK_PAGES } from '../../limits.ts';
import {
  ByteReader,
  ByteWriter,
  checkDigest,
  DamageError,
  readTrailer,
  TRAILER_BYTES,
  trailer,
} from '../coding.ts';

/**
 * A pack: frames, one behind the other, then the index, then the trailer.
 *
 *     index   = the pack's id, frame count, frames
 *     frame   = codec, bytes as stored, bytes of pages, page count, pages, digests, check
 *     pages   = numbers, each as the difference from the one before (the first: from 0)
 *     digests = 16 bytes a page, joined
 *     check   = of a sealed frame, the digest of its bytes as stored: nobody here can check its pages
 *
 * All numbers are varints. The pages of a frame, and the frames of a pack, are ascending.
 */
export const PACK_MAGIC = Buffer.from('BSPACK01', 'latin1');

/** Some ascending pages, not packed yet. */
export interface PageGroup {
  pages: readonly number[];
  /** The pages' digests, joined. */
  digests: Uint8Array;
  /** Bytes of all pages together. */
  rawBytes: number;
}

/** Most bytes that a page (difference, digest) or a frame (four numbers, check) takes in an index. */
const INDEX_PAGE_BYTES = DIGEST_BYTES + 4;
const INDEX_FRAME_BYTES = 16 + DIGEST_BYTES;

/** Most bytes that an index begins with: the pack's id, and how many frames there are. */
const INDEX_START_BYTES = 128;

/** Fills the memory of one pack. */
export class PackBuilder {
  readonly #bytes: Buffer;
  readonly #index = new ByteWriter();
  #length = 0;
  #frames = 0;
  #pages = 0;

  /** Fills `bytes`, which must be PACK_BYTES long and stay untouched by others. */
  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** Whether nothing was added. */
  get empty(): boolean {
    return this.#frames === 0;
  }

  /** Whether the frame can be added without passing PACK_BYTES or PACK_PAGES. */
  fits(group: PageGroup, packed: PackedFrame): boolean {
    const pages = this.#pages + group.pages.length;
    const frames = this.#frames + 1;
    const index = INDEX_START_BYTES + pages * INDEX_PAGE_BYTES + frames * INDEX_FRAME_BYTES;
    const bytes = this.#length + packed.data.length + index + TRAILER_BYTES;
    return pages <= PACK_PAGES && bytes <= PACK_BYTES;
  }

  /** Adds a frame that fits, by copying it, and returns its offset in the pack. */
  add(group: PageGroup, packed: PackedFrame): number {
    const offset = this.#length;
    this.#bytes.set(packed.data, offset);
    this.#length += packed.data.length;
    this.#frames += 1;
    this.#pages += group.pages.length;
    this.#index.number(packed.codec).number(packed.data.length).number(group.rawBytes);
    this.#index.number(group.pages.length);
    let before = 0;
    for (const page of group.pages) {
      this.#index.number(page - before);
      before = page;
    }
    this.#index.raw(group.digests);
    if (packed.codec === FrameCodec.sealed) this.#index.raw(digest(packed.data));
    return offset;
  }

  /** Closes the pack with this id: its bytes, a view, and where in them the index begins. */
  finish(id: string): { bytes: Buffer; indexOffset: number } {
    const frames = this.#index.finish();
    const index = new ByteWriter().text(id).number(this.#frames).raw(frames).finish();
    const indexOffset = this.#length;
    this.#bytes.set(index, indexOffset);
    this.#bytes.set(trailer(index, PACK_MAGIC), indexOffset + index.length);
    const end = indexOffset + index.length + TRAILER_BYTES;
    return { bytes: this.#bytes.subarray(0, end), indexOffset };
  }
}

/** A frame as a pack's index tells of it. */
export interface IndexedFrame {
  codec: number;
  storedBytes: number;
  rawBytes: number;
  pages: number[];
  digests: Buffer;
  /** Digest of a sealed frame's bytes as stored; undefined where the pages' own can be checked. */
  check: Buffer | undefined;
}

/** A pack's frames by their offsets in it. */
export type PackIndex = ReadonlyMap<number, IndexedFrame>;

/**
 * Reads the index of the pack with this id from the pack's end, from where the index begins. Throws
 * DamageError, also where it is sound, but that of another pack.
 */
export function readPackIndex(end: Buffer, id: string): PackIndex {
  const { footerBytes, check } = readTrailer(end, PACK_MAGIC);
  const index = end.subarray(0, -TRAILER_BYTES);
  if (index.length !== footerBytes) throw new DamageError('index of another length');
  checkDigest(index, check, 'index');
  const reader = new ByteReader(index);
  if (reader.text() !== id) throw new DamageError('index of another pack');
  const frames = new Map<number, IndexedFrame>();
  let offset = 0;
  for (let left = reader.number(); left > 0; left--) {
    const frame = readFrame(reader);
    frames.set(offset, frame);
    offset += frame.storedBytes;
  }
  return frames;
}

function readFrame(reader: ByteReader): IndexedFrame {
  const [codec, storedBytes, rawBytes] = [reader.number(), reader.number(), reader.number()];
  const pages: number[] = [];
  let page = 0;
  for (let left = reader.number(); left > 0; left--) {
    page += reader.number();
    pages.push(page);
  }
  const digests = reader.raw(pages.length * DIGEST_BYTES);
  const check = codec === FrameCodec.sealed ? reader.raw(DIGEST_BYTES) : undefined;
  return { codec, storedBytes, rawBytes, pages, digests, check };
}
