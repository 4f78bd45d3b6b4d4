import { DIGEST_BYTES } from '../../../../clients/format/units.ts';

/** Pages of a segment that were asked for, with their digests, in the order in which they must come. */
export class WantedPages {
  readonly #pages: Uint32Array;
  readonly #digests: Buffer;
  #added = 0;
  #taken = 0;

  /** Has room for so many. */
  constructor(most: number) {
    this.#pages = new Uint32Array(most);
    this.#digests = Buffer.allocUnsafeSlow(most * DIGEST_BYTES);
  }

  /** How many have not come. */
  get count(): number {
    return this.#added - this.#taken;
  }

  /**
   * Adds the next pages that are asked for: consecutive ones, as many as there are digests, which are
   * joined; the first is counted from the segment's first.
   */
  add(first: number, digests: Uint8Array): void {
    this.#digests.set(digests, this.#added * DIGEST_BYTES);
    const end = first + digests.length / DIGEST_BYTES;
    for (let page = first; page < end; page++) this.#pages[this.#added++] = page;
  }

  /** Whether these pages of the file are the first of them; `firstPage` is that of the segment. */
  beginWith(pages: readonly number[], firstPage: number): boolean {
    if (pages.length > this.count) return false;
    return pages.every((page, at) => this.#pages[this.#taken + at] === page - firstPage);
  }

  /** Takes the first of them away, and returns their digests, joined. */
  take(count: number): Buffer {
    const from = this.#taken * DIGEST_BYTES;
    this.#taken += count;
    return this.#digests.subarray(from, from + count * DIGEST_BYTES);
  }
}
