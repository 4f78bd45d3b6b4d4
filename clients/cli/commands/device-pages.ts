import type { Command } from 'commander';
import type { Ahead } from '../../device/index.ts';
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
    .option('--offline', 'read what the device holds, and ask no service; makes no database');
}

/** What is read in pages: a session. */
export interface Paged {
  ahead(count: number): Ahead;
  read(count: number): number;
  sync(count: number): Promise<number>;
}

/** What reading in pages came to. */
export interface Pages {
  readonly count: number;
  /** There is no more, as far as is known. */
  readonly reachedEnd: boolean;
  /** The device lacks some of what belongs among what was read, or next to it. */
  readonly lacking: boolean;
  /** Nothing more can be read, as far as the device holds it. */
  readonly isLast: boolean;
}

/** Fetches what the device lacks of a page, unless `offline`, and reads it. */
export async function readPage(session: Paged, count: number, offline = false): Promise<Pages> {
  if (offline) return readHeld(session, count);
  try {
    // Before it is read: what is newest is then known.
    await session.sync(count);
  } catch (error) {
    // What the device holds is read without a connection, too.
    if (isUnreachable(error)) session.read(count);
    throw error;
  }
  const read = session.read(count);
  const reachedEnd = read < count || !(await isMore(session));
  return { count: read, reachedEnd, lacking: false, isLast: reachedEnd };
}

/** Whether more can be read; the service is asked where the device does not know. */
async function isMore(session: Paged): Promise<boolean> {
  const { readable, lacking } = session.ahead(1);
  return readable > 0 || (lacking && (await session.sync(1)) > 0);
}

/** Reads what the device holds, also beyond what it lacks. */
function readHeld(session: Paged, count: number): Pages {
  let lacking = false;
  for (let read = 0; ; ) {
    const ahead = session.ahead(Math.max(count - read, 1));
    lacking ||= ahead.lacking;
    const isOver = ahead.readable === 0 && !ahead.lacking;
    if (isOver || read === count) {
      return { count: read, reachedEnd: isOver, lacking, isLast: isOver };
    }
    // One at a time, where something is lacking between them.
    const more = session.read(Math.max(ahead.readable, 1));
    if (more === 0) return { count: read, reachedEnd: false, lacking, isLast: true };
    read += more;
  }
}

/**
 * Reads a page and has it printed; at a terminal one more at each key that asks for it, and all with
 * `--all`. What was read before a failure is printed as well.
 */
export async function printPages(
  context: Context,
  { count, all, offline, json }: PageOptions,
  session: Paged,
  print: () => Promise<void>,
): Promise<Pages> {
  const { signal } = context;
  const scrolls = !json && !all && isAtTerminal();
  let [total, lacking] = [0, false];
  for (;;) {
    let page: Pages;
    try {
      page = await readPage(session, count, offline);
    } finally {
      await print();
    }
    total += page.count;
    lacking ||= page.lacking;
    signal.throwIfAborted();
    const goesOn = !page.isLast && (all || (scrolls && (await wantsMore(signal))));
    if (!goesOn) return { ...page, count: total, lacking };
  }
}

/** The line of `--json` behind what was read. */
export function resultLine({ count, reachedEnd, lacking }: Pages): string {
  return JSON.stringify({ result: { count, reachedEnd, lacking } });
}

/** Whether there is more, in words; `end` says that there is none. */
export function endOf({ count, reachedEnd, lacking, isLast }: Pages, end: string): string {
  const all = count === 0 ? 'the device holds none' : 'that is all the device holds';
  const held = isLast ? all : 'there is more: --all, or a larger --count';
  const said = reachedEnd ? end : held;
  return lacking ? `${said}; without --offline it fetches what it lacks` : said;
}
