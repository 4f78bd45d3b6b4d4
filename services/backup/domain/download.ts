import { extentDigest, pageDigests, RootDigest } from '../../../clients/format/digests.ts';
import { EXTENT_BYTES } from '../../../clients/format/units.ts';
import { DOWNLOAD_PART_BYTES, READ_AHEAD_BYTES } from '../limits.ts';
import type { BackupStore } from '../store/store.ts';
import { DamageError } from './coding.ts';
import type { Head } from './head.ts';
import { extentCount, pagesPerExtent, SEGMENT_EXTENTS, type Segment } from './map.ts';
import { findMap, StoredMap } from './map-file.ts';
import { PageReader } from './page-reader.ts';

/** Extents that are read together: a divisor of a segment's. */
const BATCH_EXTENTS = READ_AHEAD_BYTES / EXTENT_BYTES;

/**
 * Reads a backup's file in order from an offset, in parts of at most DOWNLOAD_PART_BYTES. The next
 * READ_AHEAD_BYTES are read while the ones before are taken, and into the same memory by turns: a
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
  const batches = readBatches(new PageReader(store, prefix, map, signal), map, offset, signal);
  for await (const bytes of oneAhead(batches)) {
    for (let at = skip; at < bytes.length; at += DOWNLOAD_PART_BYTES) {
      yield bytes.subarray(at, at + DOWNLOAD_PART_BYTES);
    }
    skip = 0;
  }
}

async function openMap(
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

/** Reads and checks batch after batch, beginning with the extent in which the offset is. */
async function* readBatches(
  reader: PageReader,
  map: StoredMap,
  offset: number,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const { sizeBytes } = map.tables;
  const root = offset === 0 ? new RootDigest(sizeBytes) : undefined;
  const buffers = [newBuffer(sizeBytes), newBuffer(sizeBytes)] as const;
  let turn: 0 | 1 = 0;
  let segment: Segment | undefined;
  for (let extent = Math.floor(offset / EXTENT_BYTES); extent < extentCount(sizeBytes); ) {
    if (segment === undefined || extent === segment.firstExtent + segment.extents) {
      segment = await map.segment(Math.floor(extent / SEGMENT_EXTENTS), signal);
      root?.add(segment.digests);
    }
    const end = Math.min(
      extent + BATCH_EXTENTS - (extent % BATCH_EXTENTS),
      segment.firstExtent + segment.extents,
    );
    const bytes = await readBatch(reader, map, segment, extent, end, buffers[turn]);
    turn = turn === 0 ? 1 : 0;
    const isLast = end === extentCount(sizeBytes);
    if (isLast && root?.finish().equals(map.tables.root) === false) {
      throw new DamageError('the root does not match its extents');
    }
    yield bytes;
    extent = end;
  }
}

function newBuffer(sizeBytes: number): Buffer {
  return Buffer.allocUnsafeSlow(Math.min(READ_AHEAD_BYTES, sizeBytes));
}

async function readBatch(
  reader: PageReader,
  map: StoredMap,
  segment: Segment,
  extent: number,
  end: number,
  buffer: Buffer,
): Promise<Buffer> {
  const { sizeBytes, pageSizeBytes } = map.tables;
  const from = extent * EXTENT_BYTES;
  const bytes = buffer.subarray(0, Math.min(end * EXTENT_BYTES, sizeBytes) - from);
  const first = extent - segment.firstExtent;
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
