import type { ModelConversation, ModelMember, ModelMessage } from './copy-model.ts';

/** What the model says that one user must be told of a conversation. */
export interface ModelView {
  readonly lastSeq: number;
  readonly floor: number;
  readonly epoch: number;
  readonly read: number;
  readonly delivered: number;
}

/** Beyond this the service counts no further. */
const MOST_UNREAD = 1_001;

/** A user's view; undefined for whoever never was a member of a group, and where it was deleted. */
export function viewOf(conversation: ModelConversation, user: string): ModelView | undefined {
  const member = conversation.members.get(user);
  const isGroup = conversation.name.group !== undefined;
  if (isGroup && (conversation.deleted || !member)) return undefined;
  const lastSeq = lastSeqOf(conversation, member);
  return {
    lastSeq,
    floor: Math.min(
      Math.max(conversation.floor, (member?.hiddenUpTo ?? 0) + 1, firstOf(member)),
      lastSeq + 1,
    ),
    epoch: isGroup ? (member?.epoch ?? 0) : 0,
    read: Math.min(member?.read ?? 0, lastSeq),
    delivered: Math.min(member?.delivered ?? 0, lastSeq),
  };
}

function lastSeqOf({ lastSeq }: ModelConversation, member: ModelMember | undefined): number {
  if (!member) return 0;
  if (member.role > 0) return lastSeq;
  return Math.max(0, ...member.intervals.map(({ to }) => to));
}

function firstOf(member: ModelMember | undefined): number {
  if (!member || member.intervals.length === 0) return 1;
  return Math.min(...member.intervals.map(({ from }) => from));
}

/** Whether a user sees a message at a moment; the floor apart. */
export function sees(
  conversation: ModelConversation,
  user: string,
  message: ModelMessage,
  nowMs: number,
): boolean {
  if (message.expiresAtMs > 0 && message.expiresAtMs <= nowMs) return false;
  const member = conversation.members.get(user);
  if (!member) return false;
  const { seq } = message;
  if (seq <= member.hiddenUpTo || member.hidden.has(seq)) return false;
  return member.intervals.some(({ from, to }) => from <= seq && seq <= to);
}

/** All that a user sees at a moment from a floor on, oldest first. */
export function seenBy(
  conversation: ModelConversation,
  user: string,
  floor: number,
  nowMs: number,
): ModelMessage[] {
  return conversation.messages
    .slice(floor - 1)
    .filter((message) => sees(conversation, user, message, nowMs));
}

/** How many messages are unread at a moment, as far as it is counted. */
export function unreadOf(
  conversation: ModelConversation,
  user: string,
  floor: number,
  nowMs: number,
): number {
  const read = conversation.members.get(user)?.read ?? 0;
  let unread = 0;
  for (let seq = Math.max(floor, read + 1); seq <= conversation.lastSeq; seq++) {
    const message = conversation.messages[seq - 1];
    if (!message || message.imported || message.said === undefined) continue;
    if (message.traits.call && !message.traits.missed) continue;
    if (!sees(conversation, user, message, nowMs)) continue;
    if (++unread === MOST_UNREAD) break;
  }
  return unread;
}

/** The newest message that a user sees at a moment. */
export function newestOf(
  conversation: ModelConversation,
  user: string,
  floor: number,
  nowMs: number,
): ModelMessage | undefined {
  for (let seq = conversation.lastSeq; seq >= floor; seq--) {
    const message = conversation.messages[seq - 1];
    if (message && sees(conversation, user, message, nowMs)) return message;
  }
  return undefined;
}
