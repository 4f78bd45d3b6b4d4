import { BackscrollError } from '../../errors.ts';
import type { ListConversationsResponse } from '../../gen/backscroll/history/v1/inbox_pb.ts';
import type { ConversationRow } from '../local/conversation-row.ts';
import {
  changeInboxState,
  type InboxState,
  inboxState,
  startInboxAnew,
} from '../local/inbox-state.ts';
import { exact } from '../local/message.ts';
import { loseUnlisted, putEntries, wasTold } from './inbox-entry.ts';
import type { InboxPull } from './inbox-pull.ts';

/**
 * Goes through the service's inbox from the newest conversation down, page by page, as far as something
 * is new, and from there on through what was never listed. What it brought stays; one that is left
 * midway is begun again from above, by another.
 */
export class InboxRound {
  readonly #pull: InboxPull;
  /** The whole round at the time. */
  #whole: number | undefined;
  /** Undefined as long as it brought nothing new. */
  #number: number | undefined;
  #pageToken = '';
  #met = false;
  /** A token was refused: once is a service that has changed, twice is one that refuses its own. */
  #isAnew = false;

  constructor(pull: InboxPull) {
    this.#pull = pull;
  }

  /** It came down to what was known before: what is listed is as new as when the round began. */
  get met(): boolean {
    return this.#met;
  }

  /** Brings one more page, of at most `pageSize` conversations. Gives false where there is none. */
  next(pageSize: number, signal: AbortSignal): Promise<boolean> {
    return this.#pull.inTurn(async () => {
      const state = inboxState(this.#pull.store);
      if (state.whole !== this.#whole) this.#restart(state.whole);
      if (state.rest === undefined) await this.#list(state, pageSize, signal);
      else if (!this.#met) await this.#descend(pageSize, signal);
      else if (state.rest !== '') await this.#list(state, pageSize, signal);
      else return false;
      return true;
    });
  }

  #restart(whole: number): void {
    this.#whole = whole;
    this.#number = undefined;
    this.#pageToken = '';
    this.#met = false;
  }

  /** The next page of the whole round. */
  async #list(before: InboxState, pageSize: number, signal: AbortSignal): Promise<void> {
    const { store } = this.#pull;
    const page = await this.#page(before.rest ?? '', pageSize, signal);
    if (!page) return;
    this.#pull.put(() => {
      const { whole, rest } = inboxState(store);
      // Another process was faster.
      if (whole !== before.whole || rest !== before.rest) return [];
      const changed = putEntries(store, page.conversations, whole);
      // What changes later for the user alone is told since then, also of what is not listed yet.
      if (rest === undefined) store.setFact('user_revision', exact(page.userRevision));
      return [...changed, ...this.#noteRest(page.nextPageToken)];
    });
    if (before.rest === undefined) this.#met = true;
  }

  /** The next page from above. */
  async #descend(pageSize: number, signal: AbortSignal): Promise<void> {
    const { store } = this.#pull;
    const page = await this.#page(this.#pageToken, pageSize, signal);
    if (!page) return;
    let number = this.#number;
    let met = false;
    this.#pull.put(() => {
      const state = inboxState(store);
      if (state.whole !== this.#whole) return [];
      const isNew = page.conversations.some((told) => !wasTold(store, told, state));
      if (isNew) number ??= this.#begin(state);
      const changed = putEntries(store, page.conversations, isNew ? number : undefined);
      const isLast = page.nextPageToken === '';
      met = isLast || !isNew;
      if (met && number !== undefined) {
        changeInboxState(store, { finished: Math.max(state.finished, number) });
      }
      // All of the inbox was told, one way or the other.
      return isLast && state.rest !== '' ? [...changed, ...this.#noteRest('')] : changed;
    });
    this.#number = number;
    this.#pageToken = page.nextPageToken;
    this.#met = met;
  }

  #begin({ begun }: InboxState): number {
    changeInboxState(this.#pull.store, { begun: begun + 1 });
    return begun + 1;
  }

  /** Notes where the whole round goes on. Gives the conversations that its end shows to be gone. */
  #noteRest(rest: string): ConversationRow[] {
    const { store } = this.#pull;
    changeInboxState(store, { rest });
    return rest === '' ? loseUnlisted(store) : [];
  }

  /** Undefined where the token is none that the service takes any more: all is then listed anew. */
  async #page(
    pageToken: string,
    pageSize: number,
    signal: AbortSignal,
  ): Promise<ListConversationsResponse | undefined> {
    const { store } = this.#pull;
    try {
      return await this.#pull.inbox(pageSize, signal).page(pageToken);
    } catch (error) {
      if (pageToken === '' || !isRefused(error) || this.#isAnew) throw error;
      this.#isAnew = true;
      store.write(() => startInboxAnew(store));
      return undefined;
    }
  }
}

/** Whether a call was refused for the page token that was given with it. */
function isRefused(error: unknown): boolean {
  return (
    error instanceof BackscrollError && error.fields.some(({ field }) => field === 'page_token')
  );
}
