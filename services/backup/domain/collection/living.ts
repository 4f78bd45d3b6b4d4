import type { BackupStore, StoredObject } from '../../store/store.ts';
import { DamageError } from '../coding.ts';
import { Backups } from '../kept/backups.ts';
import { uploadsUntil } from '../kept/head.ts';
import { keys, nameAfterErasure, uploadHash } from '../keys.ts';
import { listAll } from '../listing.ts';

/** What the backups of a database need. */
export interface Living {
  /** The map that holds of each of their roots; those of newer backups first. */
  readonly maps: readonly StoredObject[];
  /** All other maps: of older generations, or of no backup any more. */
  readonly otherMaps: readonly StoredObject[];
  /** Hashes that packs of committed uploads are found by, as far as those are remembered. */
  readonly uploads: ReadonlySet<string>;
}

/**
 * Looks at all heads, and then at all maps, of the database with this prefix.
 *
 * Throws DamageError where a head is damaged, or a backup has no map: what it needs can't be known.
 */
export async function findLiving(
  store: BackupStore,
  prefix: string,
  signal: AbortSignal,
): Promise<Living> {
  const backups = new Backups(store, prefix, (_key, error) => {
    throw error;
  });
  const { highest, erasure } = await backups.newest(signal);
  const kept = await backups.list(Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, signal);
  const living = kept.filter(({ head }) => head.number > erasure).map(({ head }) => head);
  const uploads = new Set(
    [...(highest ? [highest] : []), ...living].flatMap(uploadsUntil).map(([hash]) => hash),
  );
  if (erasure > 0) {
    for (const hash of [...uploads]) uploads.add(uploadHash(nameAfterErasure(erasure, hash)));
  }
  const newestMaps = new Map<string, StoredObject>();
  const otherMaps: StoredObject[] = [];
  const roots = new Set(living.map(({ root }) => root));
  for await (const object of listAll(store, `${prefix}maps/`, signal)) {
    const root = object.key.slice(`${prefix}maps/`.length).split('/')[0]!;
    if (roots.has(root) && !newestMaps.has(root)) newestMaps.set(root, object);
    else otherMaps.push(object);
  }
  const maps = [...roots].map((root) => newestMaps.get(root) ?? mapIsGone(prefix, root));
  return { maps, otherMaps, uploads };
}

function mapIsGone(prefix: string, root: string): never {
  throw new DamageError(`${keys.maps(prefix, Buffer.from(root, 'hex'))} holds no map`);
}
