import { MemberState } from '../../gen/backscroll/history/v1/inbox_pb.ts';
import { checkCount, checkFunction } from '../local/checks.ts';
import type { ConversationRow } from '../local/conversation-row.ts';
import { unreadOf } from '../local/counts.ts';
import { inboxState } from '../local/inbox-state.ts';
import { type LocalConversation, localConversation } from '../local/local-conversation.ts';
import type { Tasks } from '../tasks.ts';
import type { InboxPull } from './inbox-pull.ts';
import { InboxRound } from './inbox-round.ts';
import type { Ahead } from './read-session.ts';

/** Which conversations a summary session reads. */
export interface SummaryOptions {
  /** Those with unread messages alone. */
  readonly unread?: boolean | undefined;
  /** Ends what the session fetches, which then fails with CANCELLED. */
  readonly signal?: AbortSignal | undefined;
}

/** Conversations of one answer, at least, where only some of them are wanted. */
const SEARCHED_AT_ONCE = 100;

/** Told each conversation that is read. */
export type SummaryListener = (conversation: LocalConversation) => void;

/**
 * Reads the inbox: the user's conversations, those with the newest messages first, further with each
 * call, and each once, also where it rises meanwhile. `read` gives what the local database has, at once;
 * `sync` fetches, page by page, as much of the service's inbox as is needed; `more` does both:
 *
 *     const inbox = device.readSummary(show);
 *     await inbox.more(50);   // and again whenever the person scrolls down
 *
 * What becomes known of conversations that were handed over, the device's `conversation` event tells.
 * Not to be used by two callers at once.
 */
export class SummarySession {
  readonly #inbox: InboxPull;
  readonly #tasks: Tasks;
  readonly #options: SummaryOptions;
  readonly #listener: SummaryListener;
  readonly #round: InboxRound;
  /** Conversations that were handed over. */
  readonly #handed = new Set<number>();
  #changed = false;

  /** For the device's own use. */
  constructor(inbox: InboxPull, tasks: Tasks, options: SummaryOptions, listener: SummaryListener) {
    checkFunction('listener', listener);
    this.#inbox = inbox;
    this.#tasks = tasks;
    this.#options = options;
    this.#listener = listener;
    this.#round = new InboxRound(inbox);
  }

  /**
   * Hands the next `count` conversations that the local database has to the listener, those with the
   * newest messages first. Gives how many; fewer than `count` means that it has no more: `sync` tells
   * whether the service has.
   */
  read(count: number): number {
    checkCount(count);
    const rows = this.#next(count);
    for (const row of rows) {
      this.#handed.add(row.id);
      this.#listener(localConversation(this.#inbox.store, row, Date.now()));
    }
    return rows.length;
  }

  /** As `ReadSession.ahead`, of conversations. */
  ahead(count: number): Ahead {
    checkCount(count);
    const readable = this.#next(count).length;
    const { rest, begun, finished } = inboxState(this.#inbox.store);
    const isWhole = rest === '' && begun === finished;
    return { readable, lacking: readable < count && !isWhole };
  }

  /**
   * Fetches what the service's inbox has of the next `count` conversations: of those that were known
   * what is new, and then those that were not. Resolves to how many can now be read, and tells that to
   * `onSync` before; 0 means that there are no more. Fails with the `BackscrollError` of the call; what
   * had arrived by then is there, and the next call goes on behind it.
   */
  async sync(count: number, onSync?: (readable: number) => void): Promise<number> {
    checkCount(count);
    const readable = await this.#tasks.run(
      (signal) => this.#sync(count, signal),
      this.#options.signal,
    );
    onSync?.(readable);
    return readable;
  }

  /**
   * Reads `count` conversations, and where the local database has fewer, fetches the rest and reads it.
   * Gives how many were handed over; fewer than `count` means that there are no more.
   */
  async more(count: number): Promise<number> {
    const read = this.read(count);
    if (read >= count) return read;
    const readable = await this.sync(count - read);
    return readable > 0 ? read + this.read(readable) : read;
  }

  async #sync(count: number, signal: AbortSignal): Promise<number> {
    if (!this.#changed) await this.#inbox.changes(signal);
    this.#changed = true;
    const pageSize = this.#options.unread ? Math.max(count, SEARCHED_AT_ONCE) : count;
    let isMore = true;
    // Until it came down to what is known, each call brings a page.
    if (!this.#round.met) isMore = await this.#round.next(pageSize, signal);
    let readable = this.#next(count).length;
    while (isMore && readable < count) {
      isMore = await this.#round.next(pageSize, signal);
      readable = this.#next(count).length;
    }
    return readable;
  }

  /** The next conversations, those with the newest messages first. */
  #next(count: number): ConversationRow[] {
    const { store } = this.#inbox;
    const { unread = false } = this.#options;
    // As many as were handed over may stand above those that were not.
    const most = unread ? -1 : this.#handed.size + count;
    const found = store.sqlite.all<{ id: number }>(
      `SELECT id FROM conversation
       WHERE listed > 0 AND state <> ${MemberState.GONE} ${unread ? 'AND read_seq < last_seq' : ''}
       ORDER BY last_at_ms DESC, id DESC LIMIT ?`,
      most,
    );
    const rows: ConversationRow[] = [];
    for (const { id } of found) {
      if (rows.length === count) break;
      if (this.#handed.has(id)) continue;
      const row = store.conversationOf(id);
      if (!unread || unreadOf(store, row, Date.now()) > 0) rows.push(row);
    }
    return rows;
  }
}
