import { READ_AHEAD_BYTES, READ_AHEAD_PACKS } from '../../limits.ts';
import type { BackupStore } from '../../store/store.ts';
import { DamageError } from '../coding.ts';
import { keys } from '../keys.ts';
import type { PackPlace } from './map.ts';

/** Bytes of a pack from an offset on. */
interface Held {
  offset: number;
  bytes: Buffer;
}

/**
 * Reads ranges of packs. Where those of a pack follow each other, as they do in file order, it reads
 * ahead: a file that is spread over many uploads would else take a request for a few pages of each,
 * again and again.
 */
export class PackRanges {
  readonly #store: BackupStore;
  readonly #prefix: string;
  readonly #signal: AbortSignal;
  /** What was read last of the packs that were read last. */
  readonly #held = new Map<PackPlace, Held>();

  constructor(store: BackupStore, prefix: string, signal: AbortSignal) {
    this.#store = store;
    this.#prefix = prefix;
    this.#signal = signal;
  }

  /** Reads bytes of a pack's frames. Throws DamageError where they are not there. */
  async read(pack: PackPlace, offset: number, length: number): Promise<Buffer> {
    const held = await this.#reading(pack, offset, length);
    this.#held.delete(pack);
    if (offset + length < pack.indexOffset) this.#held.set(pack, held);
    for (const oldest of this.#held.keys()) {
      if (this.#held.size <= READ_AHEAD_PACKS) break;
      this.#held.delete(oldest);
    }
    const at = offset - held.offset;
    return held.bytes.subarray(at, at + length);
  }

  async #reading(pack: PackPlace, offset: number, length: number): Promise<Held> {
    const before = this.#held.get(pack);
    if (before === undefined || offset < before.offset) {
      return { offset, bytes: await this.#get(pack, offset, length) };
    }
    const known = before.bytes.subarray(offset - before.offset);
    if (known.length >= length) return before;
    const from = offset + known.length;
    const ahead = Math.min(READ_AHEAD_BYTES, pack.indexOffset - from);
    const more = await this.#get(pack, from, Math.max(length - known.length, ahead));
    return { offset, bytes: known.length > 0 ? Buffer.concat([known, more]) : more };
  }

  async #get(pack: PackPlace, offset: number, length: number): Promise<Buffer> {
    const key = keys.pack(this.#prefix, pack.id);
    const bytes = await this.#store.get(key, { offset, length }, this.#signal);
    if (bytes?.length !== length) throw new DamageError('a pack is gone or too short');
    return bytes;
  }
}
