import { isReason } from '../../errors.ts';
import { MemberState } from '../../gen/backscroll/history/v1/inbox_pb.ts';
import type { HistoryClient } from '../../history/history-client.ts';
import type { Inbox } from '../../history/inbox.ts';
import { type ConversationRow, isStale, nameOf } from '../local/conversation-row.ts';
import { inboxState, startInboxAnew } from '../local/inbox-state.ts';
import type { LocalStore } from '../local/local-store.ts';
import { type ConversationName, exact } from '../local/message.ts';
import { lose, nameTold, putEntries } from './inbox-entry.ts';
import type { Pull } from './pull.ts';

/** Conversations of one answer that tells what changed. */
const CHANGES_PAGE = 500;

/** Brings what the service tells of the user's inbox into the local database. */
export class InboxPull {
  readonly store: LocalStore;
  readonly #history: HistoryClient;
  readonly #pull: Pull;
  readonly #onConversation: (row: ConversationRow) => void;

  /** `onConversation` is told each conversation of which something new was learned, once it is stored. */
  constructor(
    store: LocalStore,
    history: HistoryClient,
    pull: Pull,
    onConversation: (row: ConversationRow) => void,
  ) {
    this.store = store;
    this.#history = history;
    this.#pull = pull;
    this.#onConversation = onConversation;
  }

  /** The inbox, newest first; or what changed in it for the user alone. */
  inbox(pageSize: number, signal: AbortSignal, sinceUserRevision?: number): Inbox {
    const request = { user: this.store.owner, pageSize, sinceUserRevision };
    return this.#history.inbox(request, { signal });
  }

  /** Does `work`, which gives what it changed, in one transaction, and tells that. */
  put(work: () => readonly ConversationRow[]): void {
    for (const row of this.store.write(work)) this.#onConversation(row);
  }

  /** Does `work` once all that was asked of the inbox before is done. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    return this.#pull.inTurn('inbox', work);
  }

  /**
   * Learns what changed for the user alone: what their other devices read and hid, and what they joined
   * and left. Messages that are held of these conversations are corrected. Nothing is to be learned
   * before the inbox was listed.
   */
  changes(signal: AbortSignal): Promise<void> {
    return this.inTurn(() => this.#changes(signal));
  }

  async #changes(signal: AbortSignal): Promise<void> {
    const { store } = this;
    const { whole, rest } = inboxState(store);
    if (rest === undefined) return;
    const since = Number(store.fact('user_revision'));
    let revision = since;
    const concerned = new Map<number, ConversationName>();
    try {
      for await (const page of this.inbox(CHANGES_PAGE, signal, since).pages()) {
        this.put(() => putEntries(store, page.conversations, undefined));
        for (const told of page.conversations) {
          const name = nameTold(told);
          const row = store.conversation(name);
          if (row && isStale(row)) concerned.set(row.id, name);
        }
        revision = exact(page.userRevision);
      }
    } catch (error) {
      if (!isReason(error, 'RESYNC_REQUIRED')) throw error;
      return store.write(() => startInboxAnew(store));
    }
    for (const name of concerned.values()) await this.#correct(name, signal);
    store.write(() => {
      const isRisen = revision > Number(store.fact('user_revision'));
      if (isRisen && inboxState(store).whole === whole) store.setFact('user_revision', revision);
    });
  }

  /**
   * Messages may have come of groups of which the service never told, too late as well as too early: what
   * is not for the user to see is forgotten.
   */
  async confirm(signal: AbortSignal): Promise<void> {
    const { store } = this;
    const untold = store.sqlite.all<ConversationRow>(
      `SELECT * FROM conversation WHERE kind = 2 AND state = ${MemberState.UNSPECIFIED} AND listed > 0
       AND EXISTS (SELECT 1 FROM known WHERE conversation_id = conversation.id)`,
    );
    for (const row of untold) {
      if (await this.#correct(nameOf(row), signal)) continue;
      this.put(() => {
        const now = store.conversationOf(row.id);
        // Another may have been told of it since that was answered.
        if (now.state !== MemberState.UNSPECIFIED) return [];
        lose(store, now, MemberState.UNSPECIFIED);
        return [store.conversationOf(row.id)];
      });
    }
  }

  /** Gives whether the user may see it. */
  async #correct(name: ConversationName, signal: AbortSignal): Promise<boolean> {
    try {
      await this.#pull.inTurn(name, () => this.#pull.correct(name, signal));
      return true;
    } catch (error) {
      // Of a group that was deleted meanwhile the next changes tell.
      if (!isReason(error, 'NOT_A_MEMBER')) throw error;
      return false;
    }
  }
}
