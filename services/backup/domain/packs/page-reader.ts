import { FrameCodec, FrameError, unpackFrame } from '../../../../clients/format/frames.ts';
import { release } from '../../../../clients/format/memory.ts';
import { FRAME_BYTES } from '../../../../clients/format/units.ts';
import {
  FRAME_CACHE_BYTES,
  FRAMES_AT_ONCE,
  READ_BYTES,
  READ_GAP_BYTES,
  READS_AT_ONCE,
} from '../../limits.ts';
import type { BackupStore } from '../../store/store.ts';
import { DamageError } from '../coding.ts';
import { inParallel } from '../in-parallel.ts';
import { type FramePlace, pagesPerExtent, type Segment } from './map.ts';
import type { StoredMap } from './map-file.ts';
import { PackRanges } from './pack-ranges.ts';

/** A frame, and where its pages go. */
interface Wanted {
  frame: number;
  place: FramePlace;
  /** Pages of the segment, ascending. */
  pages: number[];
  /** For each, its position among the frame's pages. */
  positions: number[];
}

/** Pages of a file in one frame: as it is stored, or made of some pages of a stored one. */
export interface PagesFrame {
  /** Numbers of the file's pages, ascending. */
  pages: number[];
  /** For each, its position among the frame's pages; empty where the frame holds `pages` alone. */
  positions: number[];
  codec: number;
  data: Buffer;
  unpackedBytes: number;
}

/** Memory to be filled with consecutive pages of a segment. */
interface Target {
  bytes: Buffer;
  firstPage: number;
}

/**
 * Reads pages of a map, and puts them where they belong. Frames that are near each other in a pack
 * are read with one request. A frame that has more pages than were wanted is kept for a while,
 * because those pages are probably wanted next.
 */
export class PageReader {
  readonly #ranges: PackRanges;
  readonly #map: StoredMap;
  readonly #kept = new Map<number, Buffer>();
  #keptBytes = 0;

  constructor(store: BackupStore, prefix: string, map: StoredMap, signal: AbortSignal) {
    this.#ranges = new PackRanges(store, prefix, signal);
    this.#map = map;
  }

  /**
   * Fills `bytes` with a segment's pages from `firstPage` on; with those in `only` alone, if given.
   * Their digests are not checked here. Throws DamageError where a frame is gone or can't be unpacked.
   */
  async fill(
    segment: Segment,
    firstPage: number,
    bytes: Buffer,
    only?: ReadonlySet<number>,
  ): Promise<void> {
    const count = Math.ceil(bytes.length / this.#map.tables.pageSizeBytes);
    await this.#fill(this.#wanted(segment, firstPage, count, only), { bytes, firstPage });
  }

  /**
   * Reads `count` of a segment's pages from `firstPage` on, as frames: as they are stored where they
   * are sealed or at least half of a frame's pages are among them, else made of those pages, so that
   * no page is sent often. Nothing is checked. Throws DamageError where a frame is gone.
   */
  async frames(segment: Segment, firstPage: number, count: number): Promise<PagesFrame[]> {
    const { pageSizeBytes } = this.#map.tables;
    const all = [...this.#wanted(segment, firstPage, count)];
    const isSentWhole = ({ pages, place }: Wanted) =>
      place.codec === FrameCodec.sealed || 2 * pages.length >= this.#pagesIn(place);
    const frames: PagesFrame[] = [];
    await inParallel(READS_AT_ONCE, gather(all.filter(isSentWhole)), async (group) => {
      const stored = await this.#readStored(group);
      frames.push(...group.map((wanted, index) => this.#asStored(segment, wanted, stored[index]!)));
    });
    const scattered = all.filter((wanted) => !isSentWhole(wanted));
    if (scattered.length > 0) {
      const bytes = Buffer.allocUnsafe(count * pageSizeBytes);
      await this.#fill(scattered, { bytes, firstPage });
      frames.push(
        ...scattered.map((wanted) => this.#joined(segment, wanted, { bytes, firstPage })),
      );
    }
    return frames;
  }

  async #fill(all: Iterable<Wanted>, target: Target): Promise<void> {
    const missing: Wanted[] = [];
    for (const wanted of all) {
      const kept = this.#kept.get(wanted.frame);
      if (kept === undefined) missing.push(wanted);
      else this.#use(wanted, kept, target);
    }
    await inParallel(READS_AT_ONCE, gather(missing), (group) => this.#readGroup(group, target));
  }

  #wanted(
    segment: Segment,
    firstPage: number,
    count: number,
    only?: ReadonlySet<number>,
  ): Iterable<Wanted> {
    const { frames } = this.#map.tables;
    const wanted = new Map<number, Wanted>();
    for (let page = firstPage; page < firstPage + count; page++) {
      if (only?.has(page) === false) continue;
      const frame = segment.frames[page]!;
      let entry = wanted.get(frame);
      if (entry === undefined) {
        entry = { frame, place: frames[frame]!, pages: [], positions: [] };
        wanted.set(frame, entry);
      }
      entry.pages.push(page);
      entry.positions.push(segment.positions[page]!);
    }
    return wanted.values();
  }

  async #readGroup(group: Wanted[], target: Target): Promise<void> {
    const stored = await this.#readStored(group);
    await inParallel(FRAMES_AT_ONCE, [...group.entries()], async ([index, wanted]) => {
      const { rawBytes, codec } = wanted.place;
      this.#use(wanted, await unpack(codec, stored[index]!, rawBytes), target);
    });
  }

  /** The stored bytes of each frame of a group. */
  async #readStored(group: Wanted[]): Promise<Buffer[]> {
    const first = group[0]!.place;
    const last = group.at(-1)!.place;
    const length = last.offset + last.storedBytes - first.offset;
    const pack = this.#map.tables.packs[first.pack]!;
    const stored = await this.#ranges.read(pack, first.offset, length);
    return group.map(({ place: { offset, storedBytes } }) =>
      stored.subarray(offset - first.offset, offset - first.offset + storedBytes),
    );
  }

  #asStored(segment: Segment, { place, pages, positions }: Wanted, data: Buffer): PagesFrame {
    const holdsNoOther = pages.length === this.#pagesIn(place);
    return {
      pages: this.#numbers(segment, pages),
      positions: holdsNoOther ? [] : positions,
      codec: place.codec,
      data,
      unpackedBytes: place.rawBytes,
    };
  }

  #joined(segment: Segment, { pages }: Wanted, { bytes, firstPage }: Target): PagesFrame {
    const { sizeBytes, pageSizeBytes } = this.#map.tables;
    const numbers = this.#numbers(segment, pages);
    const data = Buffer.concat(
      numbers.map((number, index) => {
        const at = (pages[index]! - firstPage) * pageSizeBytes;
        return bytes.subarray(at, at + Math.min(pageSizeBytes, sizeBytes - number * pageSizeBytes));
      }),
    );
    return {
      pages: numbers,
      positions: [],
      codec: FrameCodec.raw,
      data,
      unpackedBytes: data.length,
    };
  }

  /** The file's numbers of a frame's wanted pages. */
  #numbers({ firstExtent }: Segment, pages: number[]): number[] {
    const firstPage = firstExtent * pagesPerExtent(this.#map.tables.pageSizeBytes);
    return pages.map((page) => firstPage + page);
  }

  #pagesIn({ rawBytes }: FramePlace): number {
    return Math.ceil(rawBytes / this.#map.tables.pageSizeBytes);
  }

  /** Copies what is wanted of a frame, and keeps the frame where there is more in it. */
  #use(wanted: Wanted, unpacked: Buffer, { bytes, firstPage }: Target): void {
    const { pageSizeBytes } = this.#map.tables;
    for (const [index, page] of wanted.pages.entries()) {
      const from = wanted.positions[index]! * pageSizeBytes;
      const to = (page - firstPage) * pageSizeBytes;
      unpacked.copy(bytes, to, from, from + pageSizeBytes);
    }
    this.#forget(wanted.frame);
    if (this.#pagesIn(wanted.place) > wanted.pages.length) this.#keep(wanted.frame, unpacked);
    else release(unpacked);
  }

  #keep(frame: number, unpacked: Buffer): void {
    this.#kept.set(frame, unpacked);
    this.#keptBytes += unpacked.length;
    for (const [oldest, pages] of this.#kept) {
      if (this.#keptBytes <= FRAME_CACHE_BYTES) break;
      this.#forget(oldest);
      release(pages);
    }
  }

  #forget(frame: number): void {
    this.#keptBytes -= this.#kept.get(frame)?.length ?? 0;
    this.#kept.delete(frame);
  }
}

async function unpack(codec: number, stored: Buffer, rawBytes: number): Promise<Buffer> {
  if (rawBytes > FRAME_BYTES) throw new DamageError('a frame is too large');
  try {
    return await unpackFrame(codec, stored, rawBytes);
  } catch (error) {
    if (error instanceof FrameError) throw new DamageError(error.message);
    throw error;
  }
}

/** Groups frames that one request should read, each group ascending within one pack. */
function gather(wanted: Wanted[]): Wanted[][] {
  const groups: Wanted[][] = [];
  const inPlace = wanted.toSorted(
    (one, other) => one.place.pack - other.place.pack || one.place.offset - other.place.offset,
  );
  for (const next of inPlace) {
    const group = groups.at(-1);
    if (group !== undefined && joins(group, next.place)) group.push(next);
    else groups.push([next]);
  }
  return groups;
}

function joins(group: Wanted[], next: FramePlace): boolean {
  const [first, last] = [group[0]!.place, group.at(-1)!.place];
  return (
    first.pack === next.pack &&
    next.offset - (last.offset + last.storedBytes) <= READ_GAP_BYTES &&
    next.offset + next.storedBytes - first.offset <= READ_BYTES
  );
}
