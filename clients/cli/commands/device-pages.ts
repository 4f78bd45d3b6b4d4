import type { Command } from 'commander';
import { type Context, type GlobalOptions, positive } from '../context.ts';
import { isUnreachable } from '../exit.ts';
import { isAtTerminal, wantsMore } from '../keys.ts';

/** The options of commands that read in pages. */
export interface PageOptions extends GlobalOptions {
  readonly count: number;
  readonly all?: boolean;
  readonly offline?: boolean;
}

/** Adds the options of commands that read in pages. */
export function withPages(command: Command): Command {
  return command
    .option('-n, --count <number>', 'how many at once', positive, 50)
    .option('-a, --all', 'go on until there are no more')
    .option('--offline', 'read what the device holds, and ask no service');
}

/** What is read in pages: a session. */
export interface Paged {
  read(count: number): number;
  sync(count: number): Promise<number>;
}

/** Fetches what the device lacks of a page, unless `offline`, and reads it. */
export async function readPage(session: Paged, count: number, offline = false): Promise<number> {
  // Before it is read: what is newest is then known.
  if (!offline) await session.sync(count);
  return session.read(count);
}

/**
 * Reads a page and has it printed; at a terminal one more at each key that asks for it, and all with
 * `--all`. Gives how much was read, and whether there is no more. What was read before a failure is
 * printed as well.
 */
export async function printPages(
  context: Context,
  { count, all, offline, json }: PageOptions,
  session: Paged,
  print: () => Promise<void>,
): Promise<{ count: number; reachedEnd: boolean }> {
  const { signal } = context;
  const scrolls = !json && !all && isAtTerminal();
  for (let total = 0; ; ) {
    let read: number;
    try {
      read = await readPage(session, count, offline);
    } catch (error) {
      // What the device holds is read without a connection, too.
      if (isUnreachable(error)) session.read(count);
      await print();
      throw error;
    }
    await print();
    total += read;
    signal.throwIfAborted();
    if (read < count) return { count: total, reachedEnd: true };
    if (!all && !(scrolls && (await wantsMore(signal)))) return { count: total, reachedEnd: false };
  }
}
