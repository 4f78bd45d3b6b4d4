import { RootDigest } from '../../../../clients/format/digests.ts';
import { unpackFrame } from '../../../../clients/format/frames.ts';
import { MAP_GENERATIONS } from '../../limits.ts';
import type { StoredObject } from '../../store/store.ts';
import { type ReliedMap, Reuse } from '../collection/reuse.ts';
import { keys, numberInKey } from '../keys.ts';
import { lostPacks } from '../packs/lost-packs.ts';
import { type PagePlace, Segment } from '../packs/map.ts';
import { findMap, MapBuilder, openIfReadable } from '../packs/map-file.ts';
import { PackWriter } from '../packs/pack-writer.ts';
import { checkSameRoot, commit } from './commit.ts';
import { KnownPages } from './known-pages.ts';
import {
  baseOf,
  packName,
  repeated,
  type UploadContext,
  type UploadDeclaration,
  type UploadOutcome,
} from './upload-context.ts';

/**
 * A backup in the making: its map and root, which grow segment by segment, and what need not be stored
 * for it, because the store has it.
 */
export class BackupDraft {
  /** The map, whose frames and packs are added as they are known. */
  readonly map: MapBuilder;
  /** The pages that the store has. */
  readonly known: KnownPages;
  readonly #declared: UploadDeclaration;
  readonly #context: UploadContext;
  readonly #reuse: Reuse;
  readonly #root: RootDigest;

  private constructor(
    declared: UploadDeclaration,
    context: UploadContext,
    reuse: Reuse,
    map: MapBuilder,
    known: KnownPages,
  ) {
    this.#declared = declared;
    this.#context = context;
    this.#reuse = reuse;
    this.map = map;
    this.known = known;
    this.#root = new RootDigest(declared.sizeBytes);
  }

  /** Begins the backup that an upload is to make, of a file with pages of this size. */
  static async begin(
    declared: UploadDeclaration,
    pageSizeBytes: number,
    context: UploadContext,
  ): Promise<BackupDraft> {
    const map = new MapBuilder({ sizeBytes: declared.sizeBytes, pageSizeBytes });
    const { store, backups, endMs, signal } = context;
    const reuse = await Reuse.begin(store, backups.prefix, endMs, signal);
    const known = await KnownPages.open(packName(declared, context), context, reuse.marks, map);
    return new BackupDraft(declared, context, reuse, map, known);
  }

  /** A writer of the packs of this backup. `signal` ends its puts. */
  packWriter(signal: AbortSignal): PackWriter {
    const { store, backups, quota, packOpenMs: openMs } = this.#context;
    return new PackWriter({
      store,
      prefix: backups.prefix,
      uploadId: packName(this.#declared, this.#context),
      map: this.map,
      openMs,
      quota,
      signal,
    });
  }

  /** An empty segment of the file, to be filled. */
  newSegment(index: number): Segment {
    return new Segment(this.map.division, index);
  }

  /** Adds the next segment, which is complete. */
  addSegment(segment: Segment): void {
    this.#root.add(segment.digests);
    this.map.addSegment(segment);
  }

  /**
   * Reads a known page from the store, which nobody checks against its digest; undefined where it
   * can't be read.
   */
  async read({ frame, position }: PagePlace): Promise<Buffer | undefined> {
    const { store, backups, signal } = this.#context;
    const { packId, place } = this.map.frame(frame);
    const range = { offset: place.offset, length: place.storedBytes };
    const data = await store.get(keys.pack(backups.prefix, packId), range, signal);
    const bytes = data && (await unpackFrame(place.codec, data, place.rawBytes).catch(() => {}));
    const { pageSizeBytes } = this.map.division;
    return bytes?.subarray(position * pageSizeBytes, (position + 1) * pageSizeBytes);
  }

  /**
   * Makes the backup, whose segments and packs are all there: `packBytes` of packs were stored for it;
   * `seal` is what a sealing client can tell it by, in hex.
   *
   * @throws ServiceError as `commit`, and as the last look of `Reuse`
   */
  async commit(packBytes: number, seal?: string): Promise<UploadOutcome> {
    const root = this.#root.finish();
    const content = {
      ...this.#declared,
      seal,
      sha256: this.#declared.sha256?.toString('hex') ?? '',
      root: root.toString('hex'),
      pageSizeBytes: this.map.division.pageSizeBytes,
    };
    const { store, backups, newest, committed, signal } = this.#context;
    if (committed !== undefined) checkSameRoot(committed, content);
    const sameRoot = baseOf(this.#context)?.head.root === content.root;
    const unchanged = sameRoot && this.known.base?.damaged === false;
    const [map, mapBytes] = unchanged ? [this.known.base!, 0] : await this.#storeMap(root);
    await this.#reuse.check(map);
    if (committed !== undefined) return repeated(committed);
    const head = { ...content, storedBytes: packBytes + mapBytes, unchanged };
    const made = await commit(store, backups, newest, head, { map, reuse: this.#reuse }, signal);
    return { ...made, unchanged: made.backup.head.unchanged };
  }

  /**
   * Stores the map, unless a sound one of the same root is there: that is as complete. Gives the map that
   * holds, and how many bytes were stored. After an erasure, what is there may be about to go, and uploads
   * and compactions from before it may still store maps: this one's generation is higher than theirs.
   */
  async #storeMap(root: Buffer): Promise<[ReliedMap, number]> {
    const { store, backups, newest, quota, signal } = this.#context;
    const found = await findMap(store, backups.prefix, root, signal);
    const sound = found && newest.erasure === 0 ? await this.#ifSound(found) : undefined;
    if (sound !== undefined) return [sound, 0];
    const foundGeneration = found === undefined ? 0 : (numberInKey(found.key) ?? 0);
    const generation = 1 + Math.max(foundGeneration, newest.erasure * MAP_GENERATIONS);
    const bytes = this.map.finish(root);
    const key = keys.map(backups.prefix, root, generation);
    await this.#reuse.checkTime();
    quota.take(bytes.length);
    await store.put(key, bytes, signal);
    return [{ key, packs: this.map.packs }, bytes.length];
  }

  /** A stored map whose packs are all there, as far as was seen; undefined where it may not be used. */
  async #ifSound(object: StoredObject): Promise<ReliedMap | undefined> {
    const { base } = this.known;
    const { key } = object;
    if (key === base?.key) return base.damaged ? undefined : base;
    const { store, backups, signal } = this.#context;
    const { marks } = this.#reuse;
    const map = marks.mayReuseMap(key) && (await openIfReadable(store, object, signal));
    if (!map || !(await map.isWhole(signal))) return undefined;
    const { packs } = map.tables;
    const lost = await lostPacks(store, backups.prefix, packs, marks, signal);
    return lost.size > 0 ? undefined : { key, packs };
  }
}
