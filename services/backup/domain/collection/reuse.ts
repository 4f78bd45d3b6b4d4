import { aborted, unavailable } from '../../../common/errors.ts';
import type { BackupStore } from '../../store/store.ts';
import { type Marks, readMarks } from './marks.ts';

/**
 * What a new map may rely on, and the last look at it before that counts.
 *
 * Why nothing needed is ever deleted, with L the longest that an upload or a compaction may take, and
 * T the time of a mark, after which its object is deleted at the earliest GRACE_TRANSFERS (3) times L
 * later, when a look at all heads and maps that began after that found no need of it:
 *
 * - A head whose last look came before T is there before T + L, so that the look finds it.
 * - A head whose last look came after T does not rely on what is marked: it would have ended instead.
 *   Marks are there for as long as what they mark, and longer, so that none is missed.
 * - Readers take the newest map of a root. One that relies on what is marked was begun before T, and is
 *   there before T + L. An upload of that root either finds it, and then writes a newer one; or chose
 *   its map before T + L, has its head before T + 2 L, and the look finds head and map.
 * - A download begun while its packs were needed ends within L. Their mark is younger than that need.
 *
 * L begins before the newest backup is looked at. After the last look at the time at most a pin and a
 * head, or a map, are still stored, each within STORE_REQUEST_MS. Of the two that may end one behind the
 * other this makes a minute and a half, for which the third L is more than enough: it is five minutes
 * at least (LEAST_TRANSFER_SECONDS).
 *
 * Ids of packs and keys of maps are random at their ends: a deletion that comes late hits nothing else.
 */
export class Reuse {
  readonly #store: BackupStore;
  readonly #prefix: string;
  readonly #endMs: number;
  readonly #signal: AbortSignal;
  /** The marks when it began: what they mark is not used. */
  readonly marks: Marks;

  private constructor(
    store: BackupStore,
    prefix: string,
    endMs: number,
    marks: Marks,
    signal: AbortSignal,
  ) {
    this.#store = store;
    this.#prefix = prefix;
    this.#endMs = endMs;
    this.marks = marks;
    this.#signal = signal;
  }

  /** Begins what must end at `endMs`, by the store's clock. */
  static async begin(
    store: BackupStore,
    prefix: string,
    endMs: number,
    signal: AbortSignal,
  ): Promise<Reuse> {
    return new Reuse(store, prefix, endMs, await readMarks(store, prefix, signal), signal);
  }

  /**
   * Must come before a map is stored.
   *
   * @throws ServiceError UNAVAILABLE, reason TAKES_TOO_LONG
   */
  async checkTime(): Promise<void> {
    if ((await this.#store.nowMs(this.#signal)) > this.#endMs) throw takesTooLong();
  }

  /**
   * The last look: must come before a head is stored that relies on a map with these packs.
   *
   * @throws ServiceError UNAVAILABLE, reason TAKES_TOO_LONG; ABORTED, reason COLLECTED, where something
   * of it was marked meanwhile
   */
  async check({ key, packs }: ReliedMap): Promise<void> {
    const marks = await readMarks(this.#store, this.#prefix, this.#signal);
    const mayReuse = marks.mayReuseMap(key) && packs.every(({ id }) => marks.mayReusePack(id));
    if (!mayReuse) throw collected();
    await this.checkTime();
  }

  /** Whether a pack of a map is marked as damaged now: to be asked behind a head, too. */
  async hasDamaged({ packs }: ReliedMap): Promise<boolean> {
    const marks = await readMarks(this.#store, this.#prefix, this.#signal);
    return packs.some(({ id }) => marks.isDamaged(id));
  }
}

/** The error of an upload that relied on what must not be used any more. */
export function collected() {
  return aborted('COLLECTED', 'stored pages that it relied on go, or are damaged: begin again');
}

/** A stored map, and what it tells of. */
export interface ReliedMap {
  readonly key: string;
  readonly packs: readonly { readonly id: string }[];
}

/** The error of an upload or a download that took longer than one may. */
export function takesTooLong() {
  return unavailable('TAKES_TOO_LONG', 'it took longer than one may: go on with a new one');
}
