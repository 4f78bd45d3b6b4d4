import { damaged } from '../../backup/damaged.ts';
import type { LocalStore } from './local-store.ts';

/**
 * How far the service's inbox is known. It is gone through in rounds, which have numbers, each from the
 * newest conversation down.
 */
export interface InboxState {
  /** The round that tells of every conversation there is. */
  readonly whole: number;
  /** Where that round goes on: undefined before its first page, empty once it is complete. */
  readonly rest: string | undefined;
  /** The last round that began. */
  readonly begun: number;
  /**
   * The last round that came down to what was known before it. What it and those before it told leaves
   * nothing out; what a later one told may, for it may have broken off.
   */
  readonly finished: number;
}

/** Of a device that has not seen its inbox yet. */
const UNSEEN: InboxState = { whole: 1, rest: undefined, begun: 1, finished: 1 };

/** How far the inbox is known. */
export function inboxState(store: LocalStore): InboxState {
  const fact = store.fact('inbox');
  const state = fact === undefined ? UNSEEN : inboxStateOf(fact);
  if (!state) throw damaged('The local database', 'it does not tell how far the inbox is known');
  return state;
}

/** What the fact `inbox` of a database tells; undefined where that is nothing. */
export function inboxStateOf(fact: unknown): InboxState | undefined {
  try {
    const { whole, rest, begun, finished } = JSON.parse(String(fact)) as InboxState;
    const isRight =
      [whole, begun, finished].every((round) => Number.isSafeInteger(round) && round >= 0) &&
      (rest === undefined || typeof rest === 'string');
    return isRight ? { whole, rest, begun, finished } : undefined;
  } catch {
    return undefined;
  }
}

/** Notes how far the inbox is known. */
export function changeInboxState(store: LocalStore, change: Partial<InboxState>): void {
  store.setFact('inbox', JSON.stringify({ ...inboxState(store), ...change }));
}

/**
 * The service has lost what it had of the user, or a part of it: the inbox has to be listed anew, and
 * stays in doubt until that is complete; and the user's own marks have to be told again.
 */
export function startInboxAnew(store: LocalStore): void {
  store.sqlite.run(
    `UPDATE conversation
     SET listed = iif(listed = 1, 2, listed), told_read_seq = 0, told_delivered_seq = 0, user_revision = 0`,
  );
  const number = inboxState(store).begun + 1;
  changeInboxState(store, { whole: number, rest: undefined, begun: number, finished: number });
}
