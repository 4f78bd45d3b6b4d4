import { MemberState } from '../../gen/backscroll/history/v1/inbox_pb.ts';
import { type ConversationRow, nameOf, statusOf } from './conversation-row.ts';
import { unreadOf } from './counts.ts';
import type { LocalStore } from './local-store.ts';
import { type ConversationName, LocalMessage } from './message.ts';
import { ALL } from './pick.ts';
import { readWaiting, waitingMessage } from './waiting.ts';

/** How far somebody is in a conversation: they have read, or a device of theirs holds, all up to a seq. */
export interface LocalMarks {
  readonly readSeq: number;
  readonly deliveredSeq: number;
}

/** A conversation as the local database knows it. Times are milliseconds since 1970-01-01 UTC. */
export interface LocalConversation {
  readonly conversation: ConversationName;
  /** Of a group, as it was when the user left it; empty where it has none, and for pairs. */
  readonly title: string;
  /**
   * In a group the user is a `member`, or a `former` one, who sees what they saw. `gone`: it was deleted,
   * or the service knows nothing of it for the user any more, and nothing of it is left here.
   */
  readonly state: 'pair' | 'member' | 'former' | 'gone';
  /** The newest message: of the outbox, or that is held; perhaps one that was deleted for everyone. */
  readonly lastMessage: LocalMessage | undefined;
  /** Messages that the user has not read, as in `Counts`. */
  readonly unread: number;
  /** The user's own. */
  readonly marks: LocalMarks;
  /** The peer's, in a pair. */
  readonly peerMarks: LocalMarks;
  /** Highest seq that is known of; 0 without messages. */
  readonly lastSeq: number;
  /** Where it stands in the inbox, newest first: the time of its newest message. */
  readonly lastAtMs: number;
}

/** Makes one of its row. */
export function localConversation(
  store: LocalStore,
  row: ConversationRow,
  nowMs: number,
): LocalConversation {
  const lastMessage = lastMessageOf(store, row, nowMs);
  return {
    conversation: nameOf(row),
    title: row.title,
    state: stateOf(row),
    lastMessage,
    unread: unreadOf(store, row, nowMs),
    marks: { readSeq: row.read_seq, deliveredSeq: row.delivered_seq },
    peerMarks: { readSeq: row.peer_read_seq, deliveredSeq: row.peer_delivered_seq },
    lastSeq: row.last_seq,
    lastAtMs: row.last_at_ms || (lastMessage?.sentAtMs ?? 0),
  };
}

function lastMessageOf(
  store: LocalStore,
  row: ConversationRow,
  nowMs: number,
): LocalMessage | undefined {
  const { owner } = store;
  const one = { falling: true, count: 1, nowMs };
  const [waiting] = readWaiting(store, row.id, { after: undefined, ...one });
  if (waiting) return waitingMessage(nameOf(row), waiting, owner);
  const [last] = store.messages(row.id, { from: 1, to: Infinity }, ALL, one);
  return last && new LocalMessage(nameOf(row), last, statusOf(row, last, owner), 'database');
}

function stateOf({ kind, state }: ConversationRow): LocalConversation['state'] {
  if (state === MemberState.GONE) return 'gone';
  if (kind === 1) return 'pair';
  return state === MemberState.FORMER ? 'former' : 'member';
}
