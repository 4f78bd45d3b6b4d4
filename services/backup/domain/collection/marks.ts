import type { BackupStore } from '../../store/store.ts';
import { keys, markInKey } from '../keys.ts';
import { listAll } from '../listing.ts';

/** The last mark of a pack or a map that collection has found unneeded once. */
export interface UnneededMark {
  /** Counts its marks: even ones say that nothing needs it, odd ones that something does after all. */
  readonly number: number;
  /** When the mark was made, in milliseconds since 1970-01-01 UTC, by the store's clock. */
  readonly storedAtMs: number;
}

/**
 * What an upload of a database must not reuse: damaged packs, and packs and maps that collection has
 * found unneeded. A mark is an empty object whose key tells all. It is there for as long as what it
 * marks: once marked, nothing is reused any more.
 */
export class Marks {
  readonly #prefix: string;
  readonly #damaged = new Set<string>();
  readonly #unneeded = new Map<string, UnneededMark>();
  readonly #keys = new Map<string, string[]>();

  /** No marks yet, of the database with this prefix. */
  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** Adds the mark under a key. */
  add(key: string, storedAtMs: number): void {
    const { marked, number } = markInKey(key) ?? {};
    if (marked === undefined) return;
    this.#keys.set(marked, [...this.of(marked), key]);
    if (number === undefined) this.#damaged.add(marked);
    else if (number >= (this.#unneeded.get(marked)?.number ?? 0)) {
      this.#unneeded.set(marked, { number, storedAtMs });
    }
  }

  /** Whether the pack with this id was found damaged. */
  isDamaged(id: string): boolean {
    return this.#damaged.has(keys.pack(this.#prefix, id));
  }

  /** Whether an upload may use the pack with this id. */
  mayReusePack(id: string): boolean {
    return !this.isDamaged(id) && !this.#unneeded.has(keys.pack(this.#prefix, id));
  }

  /** Whether an upload may use the map under this key. Its packs are another matter. */
  mayReuseMap(key: string): boolean {
    return !this.#unneeded.has(key);
  }

  /** Keys of all packs and maps that are marked. */
  marked(): Iterable<string> {
    return this.#keys.keys();
  }

  /** Keys of all marks of the pack or map under a key. */
  of(key: string): readonly string[] {
    return this.#keys.get(key) ?? [];
  }

  /** The last mark of the pack or map under a key; undefined where it was never unneeded. */
  unneeded(key: string): UnneededMark | undefined {
    return this.#unneeded.get(key);
  }
}

/** Reads all marks of the database with this prefix: usually one listing. */
export async function readMarks(
  store: BackupStore,
  prefix: string,
  signal: AbortSignal,
): Promise<Marks> {
  const marks = new Marks(prefix);
  for await (const { key, storedAtMs } of listAll(store, keys.marks(prefix), signal)) {
    marks.add(key, storedAtMs);
  }
  return marks;
}

/** Marks a pack as damaged: from now on no upload reuses it. May be done twice. */
export async function markDamaged(
  store: BackupStore,
  prefix: string,
  packId: string,
  signal: AbortSignal,
): Promise<void> {
  await store.put(keys.damagedMark(prefix, packId), Buffer.alloc(0), signal);
}

/** Adds the next mark of a pack or map under this key, after `last`. May be done twice. */
export async function markNext(
  store: BackupStore,
  prefix: string,
  key: string,
  last: UnneededMark | undefined,
  signal: AbortSignal,
): Promise<void> {
  const number = last === undefined ? 0 : last.number + 1;
  await store.put(keys.unneededMark(prefix, key, number), Buffer.alloc(0), signal);
}
