import { pageDigests } from '../../../../clients/format/digests.ts';
import { FrameCodec, FrameError, unpackFrame } from '../../../../clients/format/frames.ts';
import { release } from '../../../../clients/format/memory.ts';
import { invalidArgument } from '../../../common/errors.ts';
import { FRAMES_AT_ONCE } from '../../limits.ts';
import type { FramePlace } from '../packs/map.ts';
import { type MapBuilder, newFramePlace } from '../packs/map-file.ts';
import type { PageGroup } from '../packs/pack.ts';
import type { PackWriter } from '../packs/pack-writer.ts';
import type { UploadContext } from './upload-context.ts';

/** Some pages as their sender packed them. */
export interface SentFrame extends PageGroup {
  codec: FrameCodec;
  data: Uint8Array;
}

/** Looks at the unpacked pages of a frame, and throws where they may not be stored. */
type Inspect = (pages: readonly number[], bytes: Buffer) => void;

/**
 * Stores frames as they were sent, once they were unpacked and their pages compared with their
 * digests, unless they are sealed; does so with some at once, and makes the caller wait for the others.
 */
export class FrameWriter implements AsyncDisposable {
  readonly #packs: PackWriter;
  readonly #map: MapBuilder;
  readonly #inspect: Inspect;
  readonly #release: UploadContext['release'];
  readonly #underWay: { checked: Promise<void>; added: Promise<void> }[] = [];
  #lastAdded: Promise<void> = Promise.resolve();

  /**
   * Writes frames to `packs`, and their places into `map`; the caller disposes of `packs` afterwards.
   * `release` is given the data that is no longer needed.
   */
  constructor(
    packs: PackWriter,
    map: MapBuilder,
    inspect: Inspect,
    release: UploadContext['release'],
  ) {
    this.#packs = packs;
    this.#map = map;
    this.#inspect = inspect;
    this.#release = release;
  }

  /**
   * Takes a frame, and tells its number in the map.
   *
   * @throws what is wrong with an earlier one, or kept it from being stored
   */
  async add(frame: SentFrame): Promise<number> {
    this.#packs.check();
    const place = newFramePlace();
    const number = this.#map.addFrame(place);
    const checked = this.#check(frame);
    const added = this.#addAfter(this.#lastAdded, checked, frame, place);
    for (const work of [checked, added]) this.#packs.watch(work);
    this.#lastAdded = added;
    this.#underWay.push({ checked, added });
    if (this.#underWay.length >= FRAMES_AT_ONCE) await this.#underWay.shift()!.added;
    return number;
  }

  /** Stores what is still held, and returns when all of it is durable. */
  async finish(): Promise<void> {
    await this.#lastAdded;
    await this.#packs.finish();
  }

  /** Returns when nothing of what is under way uses memory any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#underWay.flatMap(({ checked, added }) => [checked, added]));
  }

  /** Puts a frame into a pack, behind the one before it. */
  async #addAfter(
    before: Promise<void>,
    checked: Promise<void>,
    frame: SentFrame,
    place: FramePlace,
  ): Promise<void> {
    await before;
    await checked;
    await this.#packs.add(frame, frame, place);
    this.#release?.(frame.data);
  }

  async #check({ pages, digests, rawBytes, codec, data }: SentFrame): Promise<void> {
    if (codec === FrameCodec.sealed) return;
    const bytes = await unpackFrame(codec, data, rawBytes).catch(refuse);
    if (!pageDigests(bytes, this.#map.division.pageSizeBytes).equals(digests)) {
      throw invalidArgument('DIGEST_MISMATCH', 'frame', 'holds other pages than their digests say');
    }
    this.#inspect(pages, bytes);
    release(bytes);
  }
}

function refuse(error: unknown): never {
  if (!(error instanceof FrameError)) throw error;
  throw invalidArgument('DIGEST_MISMATCH', 'frame.data', 'does not unpack to the pages it names');
}
