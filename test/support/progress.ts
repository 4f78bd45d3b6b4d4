/**
 * Shows that something long is under way: on a terminal one line that is kept up to date, elsewhere a
 * line at the start and then every ten seconds, so that a log shows life. Disposing it writes the last
 * line with the time it took.
 */
export class Progress implements Disposable {
  readonly #what: string;
  readonly #began = Date.now();
  readonly #live = process.stdout.isTTY === true;
  #shownAt = 0;

  constructor(what: string) {
    this.#what = what;
    this.#show('');
  }

  /** How far it is: a percentage, a count, the name of what comes now. */
  update(detail: string): void {
    if (Date.now() - this.#shownAt >= (this.#live ? 100 : 10_000)) this.#show(detail);
  }

  [Symbol.dispose](): void {
    this.#show('', true);
    if (this.#live) process.stdout.write('\n');
  }

  #show(detail: string, ended = false): void {
    this.#shownAt = Date.now();
    const seconds = Math.round((this.#shownAt - this.#began) / 1000);
    const parts = [
      ...(detail === '' ? [] : [detail]),
      ...(ended || detail ? [`${seconds} s`] : []),
    ];
    const line = `  ${[this.#what, parts.join(', ')].filter((part) => part !== '').join(': ')}`;
    process.stdout.write(
      this.#live ? `\r\x1b[K${line.slice(0, (process.stdout.columns || 80) - 1)}` : `${line}\n`,
    );
  }
}
