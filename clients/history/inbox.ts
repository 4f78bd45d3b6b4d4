import type {
  Conversation,
  ListConversationsResponse,
} from '../gen/backscroll/history/v1/inbox_pb.ts';
import { pageOf, pagesOf } from '../pages.ts';

/**
 * A user's conversations, those with the newest messages first, as they are read: page after page
 * is fetched when it is needed. Can be iterated (conversation by conversation), read page by page
 * (`pages()`) or all at once (`collect()`). Conversations that got new messages while the pages were
 * read come once more at the end: the later one holds.
 */
export class Inbox implements AsyncIterable<Conversation> {
  readonly #fetch: (pageToken: string) => Promise<ListConversationsResponse>;

  /** For the client's own use. */
  constructor(fetch: (pageToken: string) => Promise<ListConversationsResponse>) {
    this.#fetch = fetch;
  }

  /** The answers of the service, one a page. */
  pages(): AsyncGenerator<ListConversationsResponse, void, undefined> {
    return pagesOf(this.#fetch);
  }

  /** One answer: the page that begins where `pageToken`, of the page before it, tells; empty for the first. */
  page(pageToken: string): Promise<ListConversationsResponse> {
    return pageOf(this.#fetch, pageToken);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Conversation, void, undefined> {
    for await (const { conversations } of this.pages()) yield* conversations;
  }

  /**
   * All conversations, each once and as it was given last, and the user revision from when they were
   * first asked for: the next `sinceUserRevision`.
   */
  async collect(): Promise<{ conversations: Conversation[]; userRevision: bigint }> {
    const byName = new Map<string, Conversation>();
    let userRevision = 0n;
    for await (const page of this.pages()) {
      ({ userRevision } = page);
      for (const conversation of page.conversations) {
        const { case: kind, value } = conversation.conversation;
        byName.set(`${kind} ${value}`, conversation);
      }
    }
    return { conversations: [...byName.values()], userRevision };
  }
}
