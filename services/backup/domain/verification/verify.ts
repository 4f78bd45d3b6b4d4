import { extentDigest, RootDigest } from '../../../../clients/format/digests.ts';
import type { BackupStore } from '../../store/store.ts';
import { DamageError } from '../coding.ts';
import { openMap, readFile } from '../download.ts';
import type { Backups, KeptBackup } from '../kept/backups.ts';
import type { Head } from '../kept/head.ts';
import { damagedPacks } from '../packs/damaged-packs.ts';
import type { StoredMap } from '../packs/map-file.ts';
import { PackIndexes } from '../packs/pack-indexes.ts';
import type { Failure } from './verdict.ts';

/**
 * Has SQLite check a database whose bytes come in order; each buffer is good until the next is asked
 * for. Undefined where nothing is wrong with it. What can't be checked now is an error, and no failure.
 */
export type CheckDatabase = (
  file: AsyncIterable<Buffer>,
  sizeBytes: number,
  signal: AbortSignal,
) => Promise<Failure | undefined>;

/** What verifies backups, as those see it who have one to verify. */
export interface Verifications {
  /**
   * Verifies a backup when its turn comes, before all that wait in the background, and keeps the result;
   * gives what is known of the backup then, undefined where it was deleted meanwhile.
   *
   * @throws ServiceError RESOURCE_EXHAUSTED where too many wait; UNAVAILABLE where it can't be verified now
   */
  verify(
    backups: Backups,
    backup: KeptBackup,
    signal: AbortSignal,
  ): Promise<KeptBackup | undefined>;

  /** Has the newest backup of the database with this prefix verified some time, if that is due then. */
  offer(prefix: string): void;
}

/** What the verification of a backup came to. */
export interface Verdict {
  /** Why it failed; undefined where it passed. */
  readonly failure: Failure | undefined;
  /** Ids of packs that were found damaged, or gone. */
  readonly damagedPacks: readonly string[];
}

/**
 * Rebuilds a backup from the store, and checks all of it: digests, and of a plain database what
 * `check` finds. The pages of a sealed one are compared with the digests of what was stored.
 *
 * @throws ServiceError where the store is gone, or the check can't be made: that is no verdict
 */
export async function verify(
  store: BackupStore,
  prefix: string,
  head: Head,
  check: CheckDatabase,
  signal: AbortSignal,
): Promise<Verdict> {
  for (let again = true; ; again = false) {
    try {
      return { failure: await examine(store, prefix, head, check, signal), damagedPacks: [] };
    } catch (error) {
      if (!(error instanceof DamageError)) throw error;
      const damaged = await damagedPacksOf(store, prefix, head, signal);
      // Something may have gone wrong on the way, or the map was replaced meanwhile.
      if (damaged.length === 0 && again) continue;
      const failure: Failure = { reason: 'DAMAGED', detail: error.message };
      return { failure, damagedPacks: damaged };
    }
  }
}

/** Throws DamageError where what is stored is not as written. */
async function examine(
  store: BackupStore,
  prefix: string,
  head: Head,
  check: CheckDatabase,
  signal: AbortSignal,
): Promise<Failure | undefined> {
  if (head.key !== undefined) {
    await examineSealed(store, prefix, await openMap(store, prefix, head, signal), signal);
    return undefined;
  }
  const file = readFile(store, prefix, head, 0, signal);
  if (!head.opaque) return await check(file, head.sizeBytes, signal);
  for await (const _ of file) signal.throwIfAborted();
  return undefined;
}

/** The tree of digests from the root down to the pages', and the packs in which those are. */
async function examineSealed(
  store: BackupStore,
  prefix: string,
  map: StoredMap,
  signal: AbortSignal,
): Promise<void> {
  const { tables } = map;
  const indexes = new PackIndexes(store, prefix, signal);
  const root = new RootDigest(tables.sizeBytes);
  for (const number of tables.segments.keys()) {
    const segment = await map.segment(number, signal);
    root.add(segment.digests);
    for (let extent = 0; extent < segment.extents; extent++) {
      const { first, count } = segment.pagesOf(extent);
      const digests: Buffer[] = [];
      for (let page = first; page < first + count; page++) {
        const digest = await indexes.pageDigest(tables, segment, page);
        if (digest === undefined) throw new DamageError('the index of a pack is gone or damaged');
        digests.push(digest);
      }
      if (!extentDigest(Buffer.concat(digests)).equals(segment.extentDigest(extent))) {
        const number = segment.firstExtent + extent;
        throw new DamageError(`extent ${number} does not match the digests of its pages`);
      }
    }
  }
  if (!root.finish().equals(tables.root))
    throw new DamageError('the root does not match its extents');
  const [damaged] = await damagedPacks(store, prefix, tables, signal);
  if (damaged !== undefined) throw new DamageError('a pack is gone or damaged');
}

/** Ids of damaged packs of the map that holds now; none where that itself can't be read. */
async function damagedPacksOf(
  store: BackupStore,
  prefix: string,
  head: Head,
  signal: AbortSignal,
): Promise<string[]> {
  try {
    const { tables } = await openMap(store, prefix, head, signal);
    return await damagedPacks(store, prefix, tables, signal);
  } catch (error) {
    if (error instanceof DamageError) return [];
    throw error;
  }
}
