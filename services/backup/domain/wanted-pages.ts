/** Pages that were asked for, with their digests, in the order in which they must come. */
export class WantedPages {
  readonly #pages: number[] = [];
  readonly #digests: Buffer[] = [];

  /** How many have not come. */
  get count(): number {
    return this.#pages.length;
  }

  /** Adds the next page that is asked for, counted from the segment's first. */
  add(page: number, digest: Buffer): void {
    this.#pages.push(page);
    this.#digests.push(digest);
  }

  /** Whether these pages of the file are the first of them; `firstPage` is that of the segment. */
  beginWith(pages: readonly number[], firstPage: number): boolean {
    return pages.every((page, at) => this.#pages[at] === page - firstPage);
  }

  /** Takes the first of them away, and returns their digests, joined. */
  take(count: number): Buffer {
    this.#pages.splice(0, count);
    return Buffer.concat(this.#digests.splice(0, count));
  }
}
