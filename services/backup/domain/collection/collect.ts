import { COLLECTED_AT_ONCE, GRACE_TRANSFERS, SPARED_TRANSFERS } from '../../limits.ts';
import type { BackupStore, StoredObject } from '../../store/store.ts';
import { inParallel } from '../in-parallel.ts';
import { COMPACTION, keys, uploadHash } from '../keys.ts';
import { listAll } from '../listing.ts';
import { StoredMap } from '../packs/map-file.ts';
import { findLiving, type Living } from './living.ts';
import { type Marks, markNext, readMarks } from './marks.ts';

/** What a collection did. */
export interface Collected {
  /** Packs and maps that it marked, or whose mark it took the force from. */
  marked: number;
  /** Packs and maps that it deleted, and how many bytes they had. */
  deleted: number;
  deletedBytes: number;
}

/** What is to be done with a pack or a map. */
type Step = 'mark' | 'delete' | undefined;

/**
 * Deletes packs and maps that no backup of a database needs, in two steps: first they are marked; once
 * the mark is older than GRACE_TRANSFERS times `transferMs`, all heads and maps are looked at again, and
 * what is still not needed goes. What is needed after all gets a mark that says so, and needs another
 * one and another grace. What is young enough to belong to an upload that goes on is left alone.
 *
 * May be done at any time, by many at once, and be ended at any point: the next one goes on. `Reuse`
 * says why uploads and downloads do not suffer.
 *
 * Throws DamageError where a head or a map that is needed is damaged: then nothing is done.
 */
export async function collect(
  store: BackupStore,
  prefix: string,
  transferMs: number,
  signal: AbortSignal,
): Promise<Collected> {
  const marks = await readMarks(store, prefix, signal);
  const nowMs = await store.nowMs(signal);
  const living = await findLiving(store, prefix, signal);
  const needed = await neededBy(store, prefix, living, signal);
  const ripe = { nowMs, transferMs, uploads: living.uploads };
  const gone = new Set(marks.marked());
  const steps: { object: StoredObject; step: Step }[] = [];
  const look = (object: StoredObject) => {
    gone.delete(object.key);
    const step = stepFor(object, needed.has(object.key), marks, ripe);
    if (step !== undefined) steps.push({ object, step });
  };
  for (const object of [...living.maps, ...living.otherMaps]) look(object);
  for await (const object of listAll(store, keys.packs(prefix), signal)) look(object);

  const done: Collected = { marked: 0, deleted: 0, deletedBytes: 0 };
  const unmark = async (key: string) => {
    for (const mark of marks.of(key)) await store.delete(mark, signal);
  };
  await inParallel(COLLECTED_AT_ONCE, steps, async ({ object: { key, sizeBytes }, step }) => {
    if (step === 'mark') {
      await markNext(store, prefix, key, marks.unneeded(key), signal);
      done.marked += 1;
      return;
    }
    await store.delete(key, signal);
    await unmark(key);
    done.deleted += 1;
    done.deletedBytes += sizeBytes;
  });
  await inParallel(COLLECTED_AT_ONCE, [...gone], unmark);
  return done;
}

/** Keys of all maps and packs that backups need. */
async function neededBy(
  store: BackupStore,
  prefix: string,
  { maps }: Living,
  signal: AbortSignal,
): Promise<Set<string>> {
  const needed = new Set<string>();
  for (const object of maps) {
    needed.add(object.key);
    const { tables } = await StoredMap.open(store, object, signal);
    for (const { id } of tables.packs) needed.add(keys.pack(prefix, id));
  }
  return needed;
}

function stepFor(
  object: StoredObject,
  isNeeded: boolean,
  marks: Marks,
  ripe: { nowMs: number; transferMs: number; uploads: ReadonlySet<string> },
): Step {
  const { nowMs, transferMs } = ripe;
  const mark = marks.unneeded(object.key);
  const isMarked = mark !== undefined && mark.number % 2 === 0;
  if (isNeeded) return isMarked ? 'mark' : undefined;
  if (isMarked)
    return nowMs - mark.storedAtMs > GRACE_TRANSFERS * transferMs ? 'delete' : undefined;
  return nowMs - object.storedAtMs > transferMs * sparedFor(object.key, ripe.uploads)
    ? 'mark'
    : undefined;
}

/** For how many longest transfers something is left alone that nothing needs yet. */
function sparedFor(key: string, uploads: ReadonlySet<string>): number {
  const [, hash] = /\/packs\/([\da-f]{32})-/.exec(key) ?? [];
  const goesOn = hash !== undefined && hash !== uploadHash(COMPACTION) && !uploads.has(hash);
  return goesOn ? SPARED_TRANSFERS : 1;
}
