import { FrameCodec } from '../../../../clients/format/frames.ts';
import type { FramePlace, PackPlace } from '../packs/map.ts';
import type { StoredMap } from '../packs/map-file.ts';

/** A page's new place: one of the new frames, and the position in it. */
export interface MovedPage {
  frame: number;
  position: number;
}

/** A stored frame, and which of its pages some map needs. */
export class FrameUse {
  readonly place: FramePlace;
  /** How many pages are in it. */
  readonly pages: number;
  readonly #live: Uint8Array;
  /** For each page the number of its new frame and 1; 0 where it was not moved. */
  #movedTo: Uint32Array | undefined;
  #positions: Uint8Array | undefined;

  constructor(place: FramePlace, pages: number) {
    this.place = place;
    this.pages = pages;
    this.#live = new Uint8Array(pages);
  }

  /** Whether it can be taken over as a whole only, because nobody here can read it. */
  get sealed(): boolean {
    return this.place.codec === FrameCodec.sealed;
  }

  /** How many of its pages are needed. */
  get livePages(): number {
    let count = 0;
    for (const isLive of this.#live) count += isLive;
    return count;
  }

  /** Bytes of it that are needed, about: a frame that is sealed can't be taken apart. */
  get liveBytes(): number {
    const { livePages } = this;
    if (this.sealed && livePages > 0) return this.place.storedBytes;
    return (this.place.storedBytes * livePages) / this.pages;
  }

  /** The page at this position is needed. */
  need(position: number): void {
    this.#live[position] = 1;
  }

  /** The page at this position is in a new frame from now on. */
  move(position: number, { frame, position: to }: MovedPage): void {
    this.#movedTo ??= new Uint32Array(this.pages);
    this.#positions ??= new Uint8Array(this.pages);
    this.#movedTo[position] = frame + 1;
    this.#positions[position] = to;
  }

  /** Where the page at this position was moved to; undefined where it was not. */
  moved(position: number): MovedPage | undefined {
    const frame = this.#movedTo?.[position] ?? 0;
    return frame === 0 ? undefined : { frame: frame - 1, position: this.#positions![position]! };
  }
}

/** A stored pack, and what of it some map needs. */
export class PackUse {
  readonly place: PackPlace;
  /** Its frames that some map tells of, by their offsets. */
  readonly frames = new Map<number, FrameUse>();

  constructor(place: PackPlace) {
    this.place = place;
  }

  /** Which packs it was stored with, by one try of an upload or one compaction: they are in file order. */
  get run(): string {
    return this.place.id.slice(0, this.place.id.lastIndexOf('-'));
  }

  /** Bytes of its frames that are needed, about. */
  get liveBytes(): number {
    let bytes = 0;
    for (const frame of this.frames.values()) bytes += frame.liveBytes;
    return bytes;
  }

  /** Bytes of its frames that nothing needs, about. */
  get deadBytes(): number {
    return Math.max(0, this.place.indexOffset - this.liveBytes);
  }
}

/** What some maps of a database need of its packs. */
export class PackUses {
  readonly packs = new Map<string, PackUse>();

  /** Adds what a map needs. */
  async add(map: StoredMap, signal: AbortSignal): Promise<void> {
    const frames = this.framesOf(map);
    for (const number of map.tables.segments.keys()) {
      const segment = await map.segment(number, signal);
      for (let page = 0; page < segment.pages; page++) {
        frames[segment.frames[page]!]!.need(segment.positions[page]!);
      }
    }
  }

  /** For each of a map's frames, how it is used. */
  framesOf({ tables: { packs, frames, pageSizeBytes } }: StoredMap): FrameUse[] {
    const uses = packs.map((place) => this.#packOf(place));
    return frames.map((place) => {
      const { frames: known } = uses[place.pack]!;
      let use = known.get(place.offset);
      if (use === undefined) {
        use = new FrameUse(place, Math.ceil(place.rawBytes / pageSizeBytes));
        known.set(place.offset, use);
      }
      return use;
    });
  }

  #packOf(place: PackPlace): PackUse {
    let use = this.packs.get(place.id);
    if (use === undefined) {
      use = new PackUse(place);
      this.packs.set(place.id, use);
    }
    return use;
  }
}
