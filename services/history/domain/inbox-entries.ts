import { INBOX_MESSAGE_BYTES } from '../limits.ts';
import type { Database } from '../store/database.ts';
import type { Membership } from '../store/inbox.ts';
import { type Listed, readListed, readWanted } from '../store/listed.ts';
import { type Conversation, keyOf, type StoredMessage } from '../store/model.ts';
import { ROLE } from '../store/standing.ts';
import { newestSeen, unreadCounts } from './unread.ts';
import { type View, viewFrom } from './view.ts';

/** A conversation in a user's inbox. */
export interface InboxEntry {
  readonly conversation: Conversation;
  /** The user's own revision at which something last changed for them here. */
  readonly revision: number;
  /** Undefined where the group was deleted. */
  readonly shown: Shown | undefined;
}

/** What an inbox shows of a conversation. */
export interface Shown {
  readonly view: View;
  /** Of a group; may be empty. For former members what it was when they left. */
  readonly title: string;
  readonly unread: number;
  /** The newest that the user sees; undefined where they see none. */
  readonly lastMessage: StoredMessage | undefined;
}

/** The first entries of a list. */
export interface Entries {
  readonly entries: readonly InboxEntry[];
  /** How many conversations of the list they stand for: some have no entry. */
  readonly covered: number;
}

/**
 * What a user's inbox shows of conversations, in their order: of all of them, or of as many of the
 * first as fit in a page. Conversations in which they have no member row have no entry.
 */
export async function entriesOf(
  database: Database,
  user: string,
  memberships: readonly Membership[],
  nowMs: number,
  signal: AbortSignal,
): Promise<Entries> {
  const entries: InboxEntry[] = [];
  let covered = 0;
  let bytes = 0;
  while (covered < memberships.length && bytes < INBOX_MESSAGE_BYTES) {
    const some = memberships.slice(covered, covered + ENTRIES_AT_ONCE);
    const room = INBOX_MESSAGE_BYTES - bytes;
    const found = await firstEntries(database, user, some, room, nowMs, signal);
    entries.push(...found.entries);
    covered += found.covered;
    if (found.covered < some.length) break;
    for (const { shown } of found.entries) bytes += shown?.lastMessage?.body.length ?? 0;
  }
  return { entries, covered };
}

/** Conversations that are looked at together: where their messages are large, few of them fit in a page. */
const ENTRIES_AT_ONCE = 100;

/** As `entriesOf`, of as many of the first, but at least one, as have last messages of `maxBytes` together. */
async function firstEntries(
  database: Database,
  user: string,
  memberships: readonly Membership[],
  maxBytes: number,
  nowMs: number,
  signal: AbortSignal,
): Promise<Entries> {
  const heads = await headsOf(database, user, memberships, signal);
  const seen = heads.filter((head): head is SeenHead => head.view !== undefined);
  const [messages, unread] = await Promise.all([
    lastMessages(database, seen, maxBytes, nowMs, signal),
    unreadCounts(database, seen, nowMs, signal),
  ]);
  const details = new Map<Head, Shown>(
    messages.map((lastMessage, n) => {
      const { view, title } = seen[n]!;
      return [seen[n]!, { view, title, unread: unread[n]!, lastMessage }];
    }),
  );
  const covered = seen[messages.length]?.index ?? memberships.length;
  const entries = heads
    .filter(({ index }) => index < covered)
    .map((head) => {
      const { conversation, revision } = head;
      return { conversation, revision, shown: details.get(head) };
    });
  return { entries, covered };
}

/** An entry to be. */
interface Head extends Listed {
  /** Where it stands among all memberships. */
  readonly index: number;
  readonly revision: number;
  readonly title: string;
  /** Undefined where the group was deleted. */
  readonly view: View | undefined;
}

type SeenHead = Head & { readonly view: View };

async function headsOf(
  database: Database,
  user: string,
  memberships: readonly Membership[],
  signal: AbortSignal,
): Promise<Head[]> {
  const ids = memberships.map(({ conversationId }) => conversationId);
  const listed = await database.run((session) => readListed(session, user, ids), signal);
  const byId = new Map(listed.map((one) => [keyOf(one.conversation.id), one]));
  return memberships.flatMap(({ conversationId, revision }, index): Head[] => {
    const one = byId.get(keyOf(conversationId));
    if (one === undefined) return [];
    const { conversation, standing } = one;
    const { title, deletedAtMs } = standing.conversation;
    const member = standing.members.get(user);
    const isFormer = member?.role === ROLE.former;
    const head = { ...one, index, revision, title: isFormer ? member.leftTitle : title };
    if (deletedAtMs > 0) return [{ ...head, view: undefined }];
    if (!member) return [];
    return [{ ...head, view: viewFrom(conversation, user, standing) }];
  });
}

/** The newest message that is seen in each view, for as many of the first as fit in `maxBytes`. */
async function lastMessages(
  database: Database,
  heads: readonly SeenHead[],
  maxBytes: number,
  nowMs: number,
  signal: AbortSignal,
): Promise<(StoredMessage | undefined)[]> {
  const views = heads.map(({ view }) => view);
  const seqs = await newestSeen(database, views, nowMs, signal);
  const wanted = heads.map(({ conversation, last }, n) => ({
    conversationId: conversation.id,
    seq: seqs[n]!,
    last,
  }));
  return database.run((session) => readWanted(session, wanted, maxBytes), signal);
}
