import { digest } from '../../../../clients/format/digests.ts';
import { type FrameCodec, SMALL_LEVEL } from '../../../../clients/format/frames.ts';
import { DIGEST_BYTES, WINDOW_BYTES } from '../../../../clients/format/units.ts';
import { PACK_OPEN_MS } from '../../limits.ts';
import type { BackupStore } from '../../store/store.ts';
import { DamageError } from '../coding.ts';
import { COMPACTION, keys } from '../keys.ts';
import { damagedPacks, holds } from '../packs/damaged-packs.ts';
import type { FramePlace, PackPlace, Segment } from '../packs/map.ts';
import { MapBuilder, newFramePlace, type StoredMap } from '../packs/map-file.ts';
import type { IndexedFrame } from '../packs/pack.ts';
import { PackIndexes } from '../packs/pack-indexes.ts';
import { PackWriter } from '../packs/pack-writer.ts';
import { PageReader } from '../packs/page-reader.ts';
import { PageWriter } from '../packs/page-writer.ts';
import { markDamaged } from './marks.ts';
import type { FrameUse, PackUse, PackUses } from './pack-use.ts';

/** A frame that holds pages that were moved, and its pack. */
export interface NewFrame {
  readonly pack: PackPlace;
  readonly place: FramePlace;
}

/** What moves a map's pages. */
interface Run {
  readonly map: StoredMap;
  readonly frames: readonly FrameUse[];
  /** For each of the map's packs, whether its pages are moved. */
  readonly victims: readonly boolean[];
  readonly scratch: MapBuilder;
  readonly reader: PageReader;
  readonly packs: PackWriter;
  readonly writer: PageWriter;
}

/** A page to be moved: its number in the segment, and where it is now. */
interface Moving {
  readonly page: number;
  readonly use: FrameUse;
  readonly pack: PackPlace;
  readonly position: number;
}

/**
 * Stores the needed pages of some packs anew, those of each map in file order, and so that each page is
 * compared with its digest before. Frames that are sealed, and those that are whole and in file order
 * already, are copied as they are.
 */
export class PageMover {
  readonly #store: BackupStore;
  readonly #prefix: string;
  readonly #uses: PackUses;
  readonly #victims: ReadonlySet<PackUse>;
  readonly #indexes: PackIndexes;
  readonly #signal: AbortSignal;
  readonly #window = Buffer.allocUnsafeSlow(WINDOW_BYTES);
  /** The frames that were stored, in the order of their numbers. */
  readonly newFrames: NewFrame[] = [];
  /** Bytes of the packs that were stored. */
  storedBytes = 0;

  constructor(
    store: BackupStore,
    prefix: string,
    uses: PackUses,
    victims: ReadonlySet<PackUse>,
    signal: AbortSignal,
  ) {
    this.#store = store;
    this.#prefix = prefix;
    this.#uses = uses;
    this.#victims = victims;
    this.#indexes = new PackIndexes(store, prefix, signal);
    this.#signal = signal;
  }

  /**
   * Moves a map's pages, all but those that were moved already. Throws DamageError where one is not read
   * as it was written; its pack is marked where it is still so when all of it is looked at.
   */
  async move(map: StoredMap): Promise<void> {
    const [store, prefix, signal] = [this.#store, this.#prefix, this.#signal];
    const scratch = new MapBuilder(map.tables);
    const options = { store, prefix, uploadId: COMPACTION, map: scratch, openMs: PACK_OPEN_MS };
    await using packs = new PackWriter({ ...options, signal });
    await using writer = new PageWriter(packs, scratch, SMALL_LEVEL);
    const reader = new PageReader(store, prefix, map, signal);
    const frames = this.#uses.framesOf(map);
    const isVictim = ({ id }: PackPlace) => this.#victims.has(this.#uses.packs.get(id)!);
    const victims = map.tables.packs.map(isVictim);
    const run = { map, frames, victims, scratch, reader, packs, writer };
    for (const number of map.tables.segments.keys()) {
      const segment = await map.segment(number, signal);
      const perWindow = WINDOW_BYTES / map.tables.pageSizeBytes;
      for (let first = 0; first < segment.pages; first += perWindow) {
        const end = Math.min(first + perWindow, segment.pages);
        const copied = this.#moving(run, segment, first, end);
        for (const moving of copied) await this.#copyWhole(run, moving);
        await this.#rewrite(run, segment, this.#moving(run, segment, first, end));
      }
    }
    await writer.finish();
    for (const place of scratch.frames) {
      this.newFrames.push({ pack: scratch.packs[place.pack]!, place });
    }
    this.storedBytes += packs.storedBytes;
  }

  /** Pages of a part of a segment that are to be moved. */
  #moving({ map, frames, victims }: Run, segment: Segment, first: number, end: number): Moving[] {
    const { tables } = map;
    const found: Moving[] = [];
    for (let page = first; page < end; page++) {
      const [frame, position] = [segment.frames[page]!, segment.positions[page]!];
      const { pack } = tables.frames[frame]!;
      const use = frames[frame]!;
      if (!victims[pack] || use.moved(position) !== undefined) continue;
      found.push({ page, use, pack: tables.packs[pack]!, position });
    }
    return found;
  }

  /** Copies the page's frame where that should not be taken apart. */
  async #copyWhole(run: Run, { use, pack, position }: Moving): Promise<void> {
    if (use.moved(position) !== undefined) return;
    if (!use.sealed && use.livePages < use.pages) return;
    const indexed = await this.#indexed(run, pack, use);
    if (!use.sealed && !isInOrder(indexed)) return;
    const read = () => this.#readFrame(run, pack, use, indexed);
    const data = (await read()) ?? (await read()) ?? (await this.#damaged(run, pack));
    const place = newFramePlace();
    const frame = this.newFrames.length + run.scratch.addFrame(place);
    await run.packs.add(indexed, { codec: use.place.codec as FrameCodec, data }, place);
    for (let at = 0; at < use.pages; at++) use.move(at, { frame, position: at });
  }

  /** A frame's bytes as stored; undefined where they are not as written. */
  async #readFrame(
    { map }: Run,
    pack: PackPlace,
    { place: { offset, storedBytes } }: FrameUse,
    indexed: IndexedFrame,
  ): Promise<Buffer | undefined> {
    const key = keys.pack(this.#prefix, pack.id);
    const data = await this.#store.get(key, { offset, length: storedBytes }, this.#signal);
    const isSound = data && (await holds(indexed, data, map.tables.pageSizeBytes));
    return isSound ? data : undefined;
  }

  /** Stores pages in new frames. */
  async #rewrite(run: Run, segment: Segment, moving: Moving[]) {
    const { scratch, reader, writer } = run;
    const firstPage = moving[0]?.page;
    if (firstPage === undefined) return;
    const { pageSizeBytes, sizeBytes } = scratch.division;
    const start = (segment.firstPage + firstPage) * pageSizeBytes;
    const end = (segment.firstPage + moving.at(-1)!.page + 1) * pageSizeBytes;
    const bytes = this.#window.subarray(0, Math.min(end, sizeBytes) - start);
    const fill = async (some: Moving[]) => {
      await reader.fill(segment, firstPage, bytes, new Set(some.map(({ page }) => page)));
    };
    await fill(moving).catch((error: unknown) => this.#blame(run, error, moving, fill));
    for (const { page, use, pack, position } of moving) {
      const at = (page - firstPage) * pageSizeBytes;
      const data = bytes.subarray(at, at + pageSizeBytes);
      const { digests } = await this.#indexed(run, pack, use);
      const known = digests.subarray(position * DIGEST_BYTES, (position + 1) * DIGEST_BYTES);
      if (!digest(data).equals(known)) await this.#damaged(run, pack);
      const to = await writer.add(segment.firstPage + page, data, known);
      use.move(position, { ...to, frame: this.newFrames.length + to.frame });
    }
  }

  /** Finds out which pack it was that could not be read. */
  async #blame(
    run: Run,
    error: unknown,
    moving: Moving[],
    fill: (some: Moving[]) => Promise<void>,
  ) {
    if (!(error instanceof DamageError)) throw error;
    for (const [pack, pages] of Map.groupBy(moving, (one) => one.pack)) {
      await fill(pages).catch((again: unknown) => {
        if (!(again instanceof DamageError)) throw again;
        return this.#damaged(run, pack);
      });
    }
  }

  async #indexed(run: Run, pack: PackPlace, { place }: FrameUse): Promise<IndexedFrame> {
    const index = await this.#indexes.read(pack);
    return index?.get(place.offset) ?? (await this.#damaged(run, pack));
  }

  /** Marks a pack if it is still damaged when all of it is looked at: a mark is never taken back. */
  async #damaged({ map }: Run, pack: PackPlace): Promise<never> {
    const [store, prefix, signal] = [this.#store, this.#prefix, this.#signal];
    const { pageSizeBytes } = map.tables;
    const [found] = await damagedPacks(store, prefix, { packs: [pack], pageSizeBytes }, signal);
    if (found === undefined) throw new DamageError(`pack ${pack.id} was read otherwise than it is`);
    await markDamaged(store, prefix, pack.id, signal);
    throw new DamageError(`pack ${pack.id} holds other bytes than were stored`);
  }
}

/** Whether a frame's pages lie together in the file, nearly. */
function isInOrder({ pages }: IndexedFrame): boolean {
  return pages.at(-1)! - pages[0]! < 1.5 * pages.length;
}
