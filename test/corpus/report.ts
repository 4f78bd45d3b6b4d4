import { inspect } from 'node:util';
import { Progress } from '../support/progress.ts';

/** Counts what passed and what failed, and prints it as it comes. */
export class Report {
  #passed = 0;
  #failed = 0;

  /** Runs one check under a name; a failure is printed and counted, and the next check goes on. */
  async check(name: string, check: (progress: Progress) => Promise<void>): Promise<void> {
    await this.each(name, [name], (_, progress) => check(progress));
  }

  /** Runs a check of each item: as many checks, in one line where none fails. */
  async each<T>(
    name: string,
    items: readonly T[],
    check: (item: T, progress: Progress) => Promise<void>,
    nameOf: (item: T) => string = String,
  ): Promise<void> {
    const failures: string[] = [];
    {
      using progress = new Progress(name);
      for (const [index, item] of items.entries()) {
        if (items.length > 1) progress.update(`${index} of ${items.length}`);
        try {
          await check(item, progress);
        } catch (error) {
          failures.push(`${nameOf(item)}: ${describe(error)}`);
        }
      }
    }
    this.#passed += items.length - failures.length;
    this.#failed += failures.length;
    for (const failure of failures) console.log(`  FAILED ${failure}`);
  }

  /** Prints the sum, and tells whether nothing failed. */
  finish(): boolean {
    console.log(`${this.#passed} passed, ${this.#failed} failed`);
    return this.#failed === 0;
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? inspect(error) : String(error);
}
