import {
  DIGEST_BYTES,
  EXTENT_BYTES,
  isPageSize,
  SEGMENT_EXTENTS,
} from '../../../../clients/format/units.ts';
import { ByteReader, ByteWriter, DamageError } from '../coding.ts';

/**
 * The map of a root: the digests of its extents, and where each of its pages is.
 *
 *     map     = segments, tables, trailer
 *     segment = digests of its extents (16 bytes each), then its pages as runs
 *     run     = frame (difference from the run before; the first: from 0), position in it, page count
 *     tables  = root, size, page size, packs, frames, segments
 *     pack    = id, offset of its index, its size
 *     frame   = pack (difference from the frame before), offset, stored bytes, bytes of pages, codec
 *     segments= for each its length and its digest
 *
 * A segment covers 1,024 extents (64 MiB of the file), so that a map is read and written in pieces.
 * Only the tables are held whole: about 10 bytes a frame, 3 MiB for 64 GiB written at once.
 */
export const MAP_MAGIC = Buffer.from('BSMAP001', 'latin1');

/** A stored pack. */
export interface PackPlace {
  id: string;
  /** Where in it the index begins. */
  indexOffset: number;
  sizeBytes: number;
}

/** Where a frame is stored, and how. */
export interface FramePlace {
  /** Which of the map's packs. */
  pack: number;
  offset: number;
  storedBytes: number;
  rawBytes: number;
  codec: number;
}

/** Where a page is: in which of a map's frames, and at which position. */
export interface PagePlace {
  frame: number;
  position: number;
}

/** What a map says of its root, besides the segments. */
export interface MapTables {
  root: Buffer;
  sizeBytes: number;
  pageSizeBytes: number;
  packs: PackPlace[];
  frames: FramePlace[];
  segments: { lengthBytes: number; digest: Buffer }[];
}

/** How a file of this size is divided. */
export interface Division {
  sizeBytes: number;
  pageSizeBytes: number;
}

/** Number of extents of a file. */
export function extentCount(sizeBytes: number): number {
  return Math.ceil(sizeBytes / EXTENT_BYTES);
}

/** Number of segments of a file's map. */
function segmentCount(sizeBytes: number): number {
  return Math.ceil(extentCount(sizeBytes) / SEGMENT_EXTENTS);
}

/** Pages of a whole extent. */
export function pagesPerExtent(pageSizeBytes: number): number {
  return EXTENT_BYTES / pageSizeBytes;
}

/** One segment of a map, in memory. */
export class Segment {
  readonly index: number;
  readonly firstExtent: number;
  readonly extents: number;
  /** Number of the first page, counted from the file's first. */
  readonly firstPage: number;
  readonly pages: number;
  readonly #pagesPerExtent: number;
  /** Digests of the extents, joined. */
  readonly digests: Buffer;
  /** For each page, in which of the map's frames it is. */
  readonly frames: Uint32Array;
  /** For each page, its position among that frame's pages. */
  readonly positions: Uint8Array;

  /** An empty segment, to be filled. */
  constructor(division: Division, index: number) {
    this.index = index;
    this.firstExtent = index * SEGMENT_EXTENTS;
    this.#pagesPerExtent = pagesPerExtent(division.pageSizeBytes);
    this.firstPage = this.firstExtent * this.#pagesPerExtent;
    this.extents = Math.min(SEGMENT_EXTENTS, extentCount(division.sizeBytes) - this.firstExtent);
    const bytes = Math.min(
      SEGMENT_EXTENTS * EXTENT_BYTES,
      division.sizeBytes - this.firstExtent * EXTENT_BYTES,
    );
    this.pages = Math.ceil(bytes / division.pageSizeBytes);
    this.digests = Buffer.alloc(this.extents * DIGEST_BYTES);
    this.frames = new Uint32Array(this.pages);
    this.positions = new Uint8Array(this.pages);
  }

  /** Digest of the segment's extent number `extent`, counted from its first. */
  extentDigest(extent: number): Buffer {
    return this.digests.subarray(extent * DIGEST_BYTES, (extent + 1) * DIGEST_BYTES);
  }

  /** The pages of that extent, counted from the segment's first: the first, and how many. */
  pagesOf(extent: number): { first: number; count: number } {
    const first = extent * this.#pagesPerExtent;
    return { first, count: Math.min(this.#pagesPerExtent, this.pages - first) };
  }

  /** Sets where a page is, counted from the segment's first. */
  place(page: number, { frame, position }: PagePlace): void {
    this.frames[page] = frame;
    this.positions[page] = position;
  }

  /** The segment as stored. */
  encode(): Buffer {
    const writer = new ByteWriter().raw(this.digests);
    let frameBefore = 0;
    for (let page = 0; page < this.pages; ) {
      const frame = this.frames[page]!;
      const position = this.positions[page]!;
      let count = 1;
      while (this.#continues(page + count, frame, position + count)) count += 1;
      writer
        .signed(frame - frameBefore)
        .number(position)
        .number(count);
      frameBefore = frame;
      page += count;
    }
    return writer.finish();
  }

  #continues(page: number, frame: number, position: number): boolean {
    return page < this.pages && this.frames[page] === frame && this.positions[page] === position;
  }

  /** Reads a stored segment of a map with `frameCount` frames. Throws DamageError. */
  static decode(bytes: Buffer, division: Division, index: number, frameCount: number): Segment {
    const segment = new Segment(division, index);
    const reader = new ByteReader(bytes);
    reader.raw(segment.digests.length).copy(segment.digests);
    let frame = 0;
    let page = 0;
    while (page < segment.pages) {
      frame += reader.signed();
      const position = reader.number();
      const count = reader.number();
      const end = page + count;
      if (frame < 0 || frame >= frameCount || count === 0 || end > segment.pages) {
        throw new DamageError('run outside of the map');
      }
      if (position + count > 256) throw new DamageError('position outside of a frame');
      segment.frames.fill(frame, page, end);
      for (let at = 0; at < count; at++) segment.positions[page + at] = position + at;
      page = end;
    }
    if (!reader.done) throw new DamageError('more runs than pages');
    return segment;
  }
}

/** The tables as stored. */
export function encodeTables(tables: MapTables): Buffer {
  const writer = new ByteWriter().raw(tables.root);
  writer.number(tables.sizeBytes).number(tables.pageSizeBytes);
  writer.number(tables.packs.length);
  for (const pack of tables.packs) {
    writer.text(pack.id).number(pack.indexOffset).number(pack.sizeBytes);
  }
  writer.number(tables.frames.length);
  let packBefore = 0;
  for (const frame of tables.frames) {
    writer
      .signed(frame.pack - packBefore)
      .number(frame.offset)
      .number(frame.storedBytes);
    writer.number(frame.rawBytes).number(frame.codec);
    packBefore = frame.pack;
  }
  writer.number(tables.segments.length);
  for (const segment of tables.segments) writer.number(segment.lengthBytes).raw(segment.digest);
  return writer.finish();
}

/** Reads stored tables. Throws DamageError. */
export function decodeTables(bytes: Buffer): MapTables {
  const reader = new ByteReader(bytes);
  const root = reader.raw(DIGEST_BYTES);
  const [sizeBytes, pageSizeBytes] = [reader.number(), reader.number()];
  if (!isPageSize(pageSizeBytes)) throw new DamageError('no page size');
  const packs = several(reader, () => readPack(reader));
  let pack = 0;
  const frames = several(reader, () => {
    pack += reader.signed();
    if (pack < 0 || pack >= packs.length) throw new DamageError('frame outside of the packs');
    return readFrame(reader, pack);
  });
  const segments = several(reader, () => ({
    lengthBytes: reader.number(),
    digest: reader.raw(DIGEST_BYTES),
  }));
  if (segments.length !== segmentCount(sizeBytes)) throw new DamageError('segments are missing');
  return { root, sizeBytes, pageSizeBytes, packs, frames, segments };
}

function readPack(reader: ByteReader): PackPlace {
  return { id: reader.text(), indexOffset: reader.number(), sizeBytes: reader.number() };
}

function readFrame(reader: ByteReader, pack: number): FramePlace {
  const [offset, storedBytes] = [reader.number(), reader.number()];
  return { pack, offset, storedBytes, rawBytes: reader.number(), codec: reader.number() };
}

function several<T>(reader: ByteReader, readOne: () => T): T[] {
  const read: T[] = [];
  for (let left = reader.number(); left > 0; left--) read.push(readOne());
  return read;
}
