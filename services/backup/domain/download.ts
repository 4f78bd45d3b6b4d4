import { extentDigest, pageDigests, RootDigest } from '../../../clients/format/digests.ts';
import { EXTENT_BYTES, SEGMENT_EXTENTS, WINDOW_BYTES } from '../../../clients/format/units.ts';
import { DOWNLOAD_PART_BYTES } from '../limits.ts';
import type { BackupStore } from '../store/store.ts';
import { DamageError } from './coding.ts';
import type { Head } from './kept/head.ts';
import { extentCount, pagesPerExtent, type Segment } from './packs/map.ts';
import { findMap, StoredMap } from './packs/map-file.ts';
import { PageReader, type PagesFrame } from './packs/page-reader.ts';

/** Extents that are read together: a divisor of a segment's. */
const SPAN_EXTENTS = WINDOW_BYTES / EXTENT_BYTES;

/**
 * Reads a backup's file in order from an offset, in parts of at most DOWNLOAD_PART_BYTES. The next
 * WINDOW_BYTES are read while the ones before are taken, and into the same memory by turns: a
 * part is good until the next is asked for. No byte comes out that was not checked against its
 * digest.
 *
 * Throws DamageError where what is stored is not as written.
 */
export async function* readFile(
  store: BackupStore,
  prefix: string,
  head: Head,
  offset: number,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  if (offset >= head.sizeBytes) return;
  const map = await openMap(store, prefix, head, signal);
  let skip = offset % EXTENT_BYTES;
  const spans = readSpans(new PageReader(store, prefix, map, signal), map, offset, signal);
  for await (const bytes of oneAhead(spans)) {
    for (let at = skip; at < bytes.length; at += DOWNLOAD_PART_BYTES) {
      yield bytes.subarray(at, at + DOWNLOAD_PART_BYTES);
    }
    skip = 0;
  }
}

/**
 * Reads a backup's file as frames, window by window (WINDOW_BYTES), beginning with the extent in which
 * the offset is. The next window is read while one is taken. What comes out was not checked against
 * the digests: whoever unpacks it can.
 *
 * Throws DamageError where what is stored is not as written.
 */
export async function* readFrames(
  store: BackupStore,
  prefix: string,
  head: Head,
  offset: number,
  signal: AbortSignal,
): AsyncGenerator<PagesFrame> {
  if (offset >= head.sizeBytes) return;
  const map = await openMap(store, prefix, head, signal);
  const reader = new PageReader(store, prefix, map, signal);
  const windows = readWindows(reader, map, offset, signal);
  for await (const frames of oneAhead(windows)) yield* frames;
}

async function* readWindows(
  reader: PageReader,
  map: StoredMap,
  offset: number,
  signal: AbortSignal,
): AsyncGenerator<PagesFrame[]> {
  const perExtent = pagesPerExtent(map.tables.pageSizeBytes);
  for await (const { segment, first, end } of spansOf(map, offset, signal)) {
    const firstPage = first * perExtent;
    yield await reader.frames(
      segment,
      firstPage,
      Math.min(end * perExtent, segment.pages) - firstPage,
    );
  }
}

/** Opens the map of a backup. Throws DamageError where that is none, or no map of the same file. */
export async function openMap(
  store: BackupStore,
  prefix: string,
  head: Head,
  signal: AbortSignal,
): Promise<StoredMap> {
  const object = await findMap(store, prefix, Buffer.from(head.root, 'hex'), signal);
  if (object === undefined) throw new DamageError('the map is gone');
  const map = await StoredMap.open(store, object, signal);
  const { root, sizeBytes, pageSizeBytes } = map.tables;
  const same = root.toString('hex') === head.root && sizeBytes === head.sizeBytes;
  if (!same || pageSizeBytes !== head.pageSizeBytes) throw new DamageError('map of another file');
  return map;
}

/** Some extents of a segment, counted from its first, that are read together. */
interface Span {
  segment: Segment;
  first: number;
  end: number;
}

/** All spans of a file in order, beginning with the extent in which the offset is. */
async function* spansOf(map: StoredMap, offset: number, signal: AbortSignal): AsyncGenerator<Span> {
  const count = extentCount(map.tables.sizeBytes);
  for (let extent = Math.floor(offset / EXTENT_BYTES); extent < count; ) {
    const segment = await map.segment(Math.floor(extent / SEGMENT_EXTENTS), signal);
    let first = extent - segment.firstExtent;
    while (first < segment.extents) {
      const end = Math.min(first + SPAN_EXTENTS - (first % SPAN_EXTENTS), segment.extents);
      yield { segment, first, end };
      first = end;
    }
    extent = segment.firstExtent + segment.extents;
  }
}

/** Reads and checks span after span. */
async function* readSpans(
  reader: PageReader,
  map: StoredMap,
  offset: number,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const { sizeBytes } = map.tables;
  const root = offset === 0 ? new RootDigest(sizeBytes) : undefined;
  const buffers = [newBuffer(sizeBytes), newBuffer(sizeBytes)] as const;
  let turn: 0 | 1 = 0;
  for await (const span of spansOf(map, offset, signal)) {
    const { segment } = span;
    if (span.first === 0) root?.add(segment.digests);
    const bytes = await readSpan(reader, map, span, buffers[turn]);
    turn = turn === 0 ? 1 : 0;
    const isLast = segment.firstExtent + span.end === extentCount(sizeBytes);
    if (isLast && root?.finish().equals(map.tables.root) === false) {
      throw new DamageError('the root does not match its extents');
    }
    yield bytes;
  }
}

function newBuffer(sizeBytes: number): Buffer {
  return Buffer.allocUnsafeSlow(Math.min(WINDOW_BYTES, sizeBytes));
}

async function readSpan(
  reader: PageReader,
  map: StoredMap,
  { segment, first, end }: Span,
  buffer: Buffer,
): Promise<Buffer> {
  const { sizeBytes, pageSizeBytes } = map.tables;
  const extent = segment.firstExtent + first;
  const endByte = Math.min((segment.firstExtent + end) * EXTENT_BYTES, sizeBytes);
  const bytes = buffer.subarray(0, endByte - extent * EXTENT_BYTES);
  await reader.fill(segment, first * pagesPerExtent(pageSizeBytes), bytes);
  for (let at = 0; at < bytes.length; at += EXTENT_BYTES) {
    const pages = pageDigests(bytes.subarray(at, at + EXTENT_BYTES), pageSizeBytes);
    if (!extentDigest(pages).equals(segment.extentDigest(first + at / EXTENT_BYTES))) {
      throw new DamageError(`extent ${extent + at / EXTENT_BYTES} does not match its digest`);
    }
  }
  return bytes;
}

/** Asks for the next value while the one before is used. */
async function* oneAhead<T>(values: AsyncGenerator<T>): AsyncGenerator<T> {
  let next = values.next();
  try {
    for (;;) {
      const { done, value } = await next;
      if (done) return;
      next = values.next();
      // The error comes out at its turn, if anybody still wants it.
      next.catch(() => {});
      yield value;
    }
  } finally {
    await next.catch(() => {});
    await values.return(undefined);
  }
}
