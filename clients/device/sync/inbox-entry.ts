import { type Conversation, MemberState } from '../../gen/backscroll/history/v1/inbox_pb.ts';
import type { Message } from '../../gen/backscroll/history/v1/message_pb.ts';
import { wrongAnswer } from '../../stream-faults.ts';
import { NAME_BYTES } from '../local/checks.ts';
import type { ConversationRow } from '../local/conversation-row.ts';
import { type InboxState, inboxState } from '../local/inbox-state.ts';
import { stretchBelow } from '../local/intervals.ts';
import type { LocalStore } from '../local/local-store.ts';
import { type ConversationName, exact, rowOf, safe } from '../local/message.ts';
import { ALL } from '../local/pick.ts';

/**
 * Takes over what a page of an inbox tells, in a transaction; `round` is the one that it is a part of,
 * undefined where what stands above it may be missing. What is held of conversations that are gone, or of
 * which the user may now see something else, is forgotten. Gives the rows in which anything changed.
 */
export function putEntries(
  store: LocalStore,
  entries: readonly Conversation[],
  round: number | undefined,
): ConversationRow[] {
  let aboveMs = Date.now();
  return entries.flatMap((told) => {
    const before = store.sqlite.changed;
    putEntry(store, told, aboveMs);
    const isChanged = store.sqlite.changed > before;
    const row = store.conversation(nameTold(told));
    if (!row) return [];
    if (round !== undefined) {
      noteRound(store, row, told, round);
      aboveMs = row.last_at_ms;
    }
    return isChanged ? [row] : [];
  });
}

function putEntry(store: LocalStore, told: Conversation, aboveMs: number): void {
  const row = store.ensureConversation(nameTold(told));
  const { id } = row;
  // Another process may have asked later, and have been told before.
  const isLate = exact(told.userRevision) < row.user_revision;
  if (isLate && (told.state === MemberState.GONE || row.state === MemberState.GONE)) return;
  if (told.state === MemberState.GONE) {
    lose(store, row, MemberState.GONE);
    store.changeConversation(id, { user_revision: exact(told.userRevision) });
    return;
  }
  store.learn(id, told);
  if (told.lastMessage) putNewest(store, id, told, told.lastMessage);
  const shown = shownOf(store.conversationOf(id), told, aboveMs);
  const lastAtMs = Math.max(shown.last_at_ms, waitingSinceMs(store, id));
  store.changeConversation(id, {
    ...shown,
    ...(!isLate && stateOf(told)),
    last_at_ms: lastAtMs,
  });
}

/** Loses what the whole inbox does not tell of, now that it was listed. Gives the rows. */
export function loseUnlisted(store: LocalStore): ConversationRow[] {
  const lost = store.sqlite.all<ConversationRow>(
    `SELECT * FROM conversation WHERE listed = 2 OR listed = 0
     AND EXISTS (SELECT 1 FROM known WHERE conversation_id = conversation.id)`,
  );
  for (const row of lost) {
    lose(store, row, row.kind === 1 ? MemberState.UNSPECIFIED : MemberState.GONE);
  }
  return lost.map(({ id }) => store.conversationOf(id));
}

/** Whether what is told was told before, by a round that left nothing out: then so was all below it. */
export function wasTold(store: LocalStore, told: Conversation, state: InboxState): boolean {
  const row = store.conversation(nameTold(told));
  if (!row || row.round < state.whole || row.round > state.finished) return false;
  return exact(told.lastSeq) <= row.round_seq;
}

/** Takes a conversation out of the inbox, and forgets what is held of it. */
export function lose(store: LocalStore, row: ConversationRow, state: MemberState): void {
  const { id } = row;
  if (row.listed === 0 && row.state === state && !store.holdsAny(id)) return;
  store.forget(id);
  store.changeConversation(id, {
    ...{ state, listed: 0, round: 0, last_at_ms: 0 },
    ...{ read_seq: 0, delivered_seq: 0, told_read_seq: 0, told_delivered_seq: 0 },
    ...{ peer_read_seq: 0, peer_delivered_seq: 0 },
    ...{ unread_count: 0, unread_from_seq: 0, unread_to_seq: 0 },
  });
}

/** The newest message that the user sees, of which is known with it that nothing stands above. */
function putNewest(store: LocalStore, id: number, told: Conversation, message: Message): void {
  const row = rowOf(message, store.owner);
  const { seq } = row;
  const conversation = store.conversationOf(id);
  // The answer may be older than what was learned meanwhile.
  if (seq < conversation.floor_seq) return;
  const top = { from: seq, to: exact(told.lastSeq) };
  const known = store.known(id, ALL.key);
  if (!stretchBelow(known, seq).held) {
    const above = { key: ALL.key, intervals: [top] };
    store.land(conversation, [row], above, exact(told.revision));
    return;
  }
  store.addKnown(id, ALL.key, top);
  const here = { falling: true, count: 1, nowMs: Date.now() };
  const [held] = store.messages(id, { from: seq, to: seq }, ALL, here);
  // Where it does not stand, it was hidden since.
  if (held && held.revision < row.revision) store.putMessages(conversation, [row]);
}

/**
 * What an inbox shows of a conversation besides messages and marks. One without messages stands below
 * what was told before it.
 */
function shownOf(row: ConversationRow, told: Conversation, aboveMs: number) {
  const { lastMessage, unreadCount, marks, lastSeq } = told;
  const isNewest = exact(lastSeq) >= row.last_seq;
  const atMs = lastMessage && isNewest ? safe(lastMessage.sentAtMs) : row.last_at_ms || aboveMs;
  return {
    ...{ listed: 1, last_at_ms: atMs },
    unread_count: unreadCount,
    unread_from_seq: exact(marks?.readSeq ?? 0n),
    unread_to_seq: exact(lastSeq),
  };
}

/** What the user is there, and what it is called. */
function stateOf({ title, state, userRevision }: Conversation) {
  return { title, state, user_revision: exact(userRevision) };
}

/** When the newest message of the outbox came there; the lowest of numbers where there is none. */
function waitingSinceMs(store: LocalStore, id: number): number {
  const found = store.sqlite.get<{ at: number | null }>(
    'SELECT max(created_at_ms) AS at FROM outbox WHERE conversation_id = ?',
    id,
  );
  return found?.at ?? Number.NEGATIVE_INFINITY;
}

/** Notes which round told of a conversation, and how far it was then. */
function noteRound(
  store: LocalStore,
  row: ConversationRow,
  told: Conversation,
  round: number,
): void {
  const state = inboxState(store);
  // What the whole round tells once more rose meanwhile: another round is to come to it from above.
  const isRepeated = round === state.whole && row.round >= round;
  if (isRepeated || wasTold(store, told, state)) return;
  store.changeConversation(row.id, { round, round_seq: exact(told.lastSeq) });
}

/** The conversation that is told of. Fails with INTERNAL for a name that nobody has. */
export function nameTold({ conversation }: Conversation): ConversationName {
  const { case: kind, value = '' } = conversation;
  if (value === '' || Buffer.byteLength(value) > NAME_BYTES) {
    throw wrongAnswer('The service told of a conversation of nobody');
  }
  return kind === 'group' ? { group: value } : { peer: value };
}
