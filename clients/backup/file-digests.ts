import { type DigestPages, extentDigest, pageDigests, RootDigest } from '../format/digests.ts';
import { DIGEST_BYTES, EXTENT_BYTES, SEGMENT_EXTENTS } from '../format/units.ts';
import type { SourceReader } from './database-file.ts';

/** Bytes read at a time: the next ones are read while these are hashed. A multiple of an extent. */
const READ_BYTES = 1024 * 1024;

const SEGMENT_BYTES = SEGMENT_EXTENTS * EXTENT_BYTES;

/** The digests of a segment. */
export interface SegmentDigests {
  readonly index: number;
  /** Those of its extents, joined. */
  readonly extents: Buffer;
  /** Those of its pages, joined; undefined where they were forgotten. */
  readonly pages: Buffer | undefined;
}

/**
 * The digests of a file that does not change. It is hashed once, segment by segment; the digests of
 * extents are remembered, and those of pages are computed again where they are needed again.
 */
export class FileDigests {
  readonly #sizeBytes: number;
  readonly #pageSizeBytes: number;
  readonly #digestPages: DigestPages;
  readonly #extents: Buffer[] = [];

  constructor(sizeBytes: number, pageSizeBytes: number, digestPages: DigestPages = pageDigests) {
    this.#sizeBytes = sizeBytes;
    this.#pageSizeBytes = pageSizeBytes;
    this.#digestPages = digestPages;
  }

  /** How many segments the file has. */
  get segments(): number {
    return Math.ceil(this.#sizeBytes / SEGMENT_BYTES);
  }

  /** The digests of a segment; segments are asked for in order. Stops when the signal fires. */
  async segment(reader: SourceReader, index: number, signal: AbortSignal): Promise<SegmentDigests> {
    const extents = this.#extents[index];
    if (extents) return { index, extents, pages: undefined };
    const hashed = await this.#hash(reader, index, signal);
    this.#extents[index] = hashed.extents;
    return hashed;
  }

  /** The digests of an extent's pages, joined. `extent` is counted from the segment's first. */
  async pages(
    reader: SourceReader,
    { index, pages }: SegmentDigests,
    extent: number,
  ): Promise<Uint8Array> {
    if (pages) {
      const extentPages = (EXTENT_BYTES / this.#pageSizeBytes) * DIGEST_BYTES;
      return pages.subarray(extent * extentPages, (extent + 1) * extentPages);
    }
    const offset = index * SEGMENT_BYTES + extent * EXTENT_BYTES;
    const bytes = Buffer.allocUnsafe(Math.min(EXTENT_BYTES, this.#sizeBytes - offset));
    await reader.read(bytes, offset);
    return this.#digest(bytes, offset);
  }

  /** The root, once all segments were hashed. */
  root(): Buffer {
    const root = new RootDigest(this.#sizeBytes);
    for (const extents of this.#extents) root.add(extents);
    return root.finish();
  }

  async #hash(reader: SourceReader, index: number, signal: AbortSignal): Promise<SegmentDigests> {
    const from = index * SEGMENT_BYTES;
    const end = Math.min(from + SEGMENT_BYTES, this.#sizeBytes);
    const extents: Buffer[] = [];
    const pages: Buffer[] = [];
    let offset = from;
    for await (const bytes of readAhead(reader, from, end)) {
      signal.throwIfAborted();
      for (let at = 0; at < bytes.length; at += EXTENT_BYTES) {
        const digests = this.#digest(bytes.subarray(at, at + EXTENT_BYTES), offset + at);
        pages.push(digests);
        extents.push(extentDigest(digests));
      }
      offset += bytes.length;
    }
    return { index, extents: Buffer.concat(extents), pages: Buffer.concat(pages) };
  }

  #digest(extent: Uint8Array, offset: number): Buffer {
    return this.#digestPages(extent, this.#pageSizeBytes, offset / this.#pageSizeBytes);
  }
}

/** Reads pieces in order, each while the one before is used; a piece is good until the next is asked for. */
async function* readAhead(reader: SourceReader, from: number, end: number) {
  const spare = [Buffer.allocUnsafeSlow(READ_BYTES), Buffer.allocUnsafeSlow(READ_BYTES)];
  const begin = async (offset: number) => {
    const buffer = spare.pop()!;
    const piece = buffer.subarray(0, Math.min(READ_BYTES, end - offset));
    await reader.read(piece, offset);
    return { buffer, piece };
  };
  let reading = begin(from);
  for (let offset = from; offset < end; offset += READ_BYTES) {
    const { buffer, piece } = await reading;
    if (offset + READ_BYTES < end) reading = begin(offset + READ_BYTES);
    // Its error is thrown when it is waited for; a reader that left does not need it.
    reading.catch(() => {});
    yield piece;
    spare.push(buffer);
  }
}
