import { KIND } from './message.ts';
import type { Value } from './sqlite.ts';

/** Messages that a reader wants: all where `key` is empty. */
export interface Picked {
  /** What `known.filter` has for it. */
  readonly key: string;
  /** SQL that follows a condition on `message`, with what it binds. */
  readonly and: string;
  /** SQL that follows `FROM message`: of two ways by seq, SQLite does not see which reads less. */
  readonly indexed: string;
  readonly values: readonly Value[];
}

/** Every message. */
export const ALL: Picked = { key: '', and: '', indexed: '', values: [] };

/** Messages that hold one of `kinds` (any where it is 0), in `thread` (any where it is empty). */
export function pickOf(kinds: number, thread: string): Picked {
  if (kinds === 0 && thread === '') return ALL;
  const terms: string[] = [];
  let index: string | undefined;
  if (kinds !== 0) terms.push(`kinds & ${kinds}`);
  if (kinds === KIND.file) index = 'message_file';
  if (kinds !== 0 && (kinds & (KIND.text | KIND.file)) === 0) {
    // Every call has this bit; by name, the index of calls is used.
    terms.push(`kinds & ${KIND.call}`);
    index = 'message_call';
  }
  if (thread !== '') {
    terms.push("thread <> ''", 'thread = ?');
    index = 'message_thread';
  }
  return {
    key: `${kinds}:${thread}`,
    and: terms.map((term) => ` AND ${term}`).join(''),
    indexed: index ? ` INDEXED BY ${index}` : '',
    values: thread === '' ? [] : [thread],
  };
}
