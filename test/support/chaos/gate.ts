/**
 * Lets many in side by side, or one alone, in the order in which they came. What `enter` resolves to is
 * disposed of on leaving.
 */
export class Gate {
  readonly #waiting: { alone: boolean; open(): void }[] = [];
  #inside = 0;
  #alone = false;

  async enter(alone: boolean): Promise<Disposable> {
    if (this.#waiting.length > 0 || !this.#fits(alone)) {
      await new Promise<void>((open) => this.#waiting.push({ alone, open }));
    } else {
      this.#admit(alone);
    }
    return { [Symbol.dispose]: () => this.#leave() };
  }

  #fits(alone: boolean): boolean {
    return alone ? this.#inside === 0 : !this.#alone;
  }

  #admit(alone: boolean): void {
    this.#inside++;
    this.#alone = alone;
  }

  #leave(): void {
    this.#inside--;
    if (this.#inside === 0) this.#alone = false;
    for (let next = this.#waiting[0]; next && this.#fits(next.alone); next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#admit(next.alone);
      next.open();
    }
  }
}
