import type { ConversationRow } from './conversation-row.ts';
import { stretchBelow } from './intervals.ts';
import type { LocalStore } from './local-store.ts';
import { KIND } from './message.ts';

/** How many messages there are, of a conversation or of all. */
export interface Counts {
  /** Held in the local database. */
  readonly stored: number;
  /**
   * Not yet read by the user, as the service counted them last, with what came and was read since;
   * 1,001 for more than 1,000 of a conversation.
   */
  readonly unread: number;
  /** Waiting in the outbox; those that were refused don't. */
  readonly waiting: number;
}

/** Of what the device does not know. */
export const NOTHING: Counts = { stored: 0, unread: 0, waiting: 0 };

/** What is no longer counted exactly, as the service does. */
const MANY = 1_001;

/** SQL of messages that others sent and the user should see; binds the user. */
export const NEWS = `sender <> ? AND deleted_at_ms = 0
  AND NOT (kinds & ${KIND.call} AND NOT kinds & ${KIND['missed-call']})`;

/** Counts the messages of a conversation. */
export function countsOf(store: LocalStore, row: ConversationRow, nowMs: number): Counts {
  const { sqlite } = store;
  const stored = sqlite.get<{ n: number }>(
    `SELECT count(*) AS n FROM message
     WHERE conversation_id = ? AND (expires_at_ms = 0 OR expires_at_ms > ?)`,
    ...[row.id, nowMs],
  );
  const waiting = sqlite.get<{ n: number }>(
    `SELECT count(*) AS n FROM outbox WHERE conversation_id = ? AND failure IS NULL
       AND (expires_at_ms = 0 OR expires_at_ms > ?)`,
    ...[row.id, nowMs],
  );
  return { stored: stored!.n, unread: unreadOf(store, row, nowMs), waiting: waiting!.n };
}

/** Counts the messages of all conversations together. */
export function countsOfAll(store: LocalStore, nowMs: number): Counts {
  const rows = store.sqlite.all<ConversationRow>('SELECT * FROM conversation');
  return rows
    .map((row) => countsOf(store, row, nowMs))
    .reduce(
      (a, b) => ({
        stored: a.stored + b.stored,
        unread: a.unread + b.unread,
        waiting: a.waiting + b.waiting,
      }),
      NOTHING,
    );
}

/** Unread messages of a conversation; see `Counts`. */
export function unreadOf(store: LocalStore, row: ConversationRow, nowMs: number): number {
  const since = newsIn(store, row, Math.max(doneUpTo(row), row.unread_to_seq) + 1, Infinity, nowMs);
  return Math.min(leftOfTold(store, row, nowMs) + since, MANY);
}

/** What is still unread of what the service counted. It leaves out more than can be told here: imports. */
function leftOfTold(store: LocalStore, row: ConversationRow, nowMs: number): number {
  const { id, unread_count, unread_from_seq, unread_to_seq } = row;
  const done = doneUpTo(row);
  if (done >= unread_to_seq) return 0;
  const { held, from } = stretchBelow(store.known(id, ''), unread_to_seq);
  if (held && from <= done + 1) {
    const news = newsIn(store, row, done + 1, unread_to_seq, nowMs);
    return unread_count >= MANY ? news : Math.min(unread_count, news);
  }
  const most = Math.min(unread_to_seq - done, MANY);
  if (unread_count >= MANY) return most;
  const readSince = newsIn(store, row, unread_from_seq + 1, done, nowMs);
  return Math.min(most, Math.max(0, unread_count - readSince));
}

/** Up to where nothing is unread: it was read, or is no longer to be seen. */
function doneUpTo({ read_seq, floor_seq }: ConversationRow): number {
  return Math.max(read_seq, floor_seq - 1);
}

function newsIn(
  store: LocalStore,
  { id }: ConversationRow,
  from: number,
  to: number,
  nowMs: number,
): number {
  const found = store.sqlite.get<{ n: number }>(
    `SELECT count(*) AS n FROM (
       SELECT 1 FROM message WHERE conversation_id = ? AND seq BETWEEN ? AND ? AND ${NEWS}
         AND (expires_at_ms = 0 OR expires_at_ms > ?)
       LIMIT ${MANY}
     )`,
    ...[id, from, Math.min(to, Number.MAX_SAFE_INTEGER), store.owner, nowMs],
  );
  return found!.n;
}
