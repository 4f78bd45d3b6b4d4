import { INBOX_PAGE_MAX } from '../limits.ts';
import type { Session, Value } from './database.ts';
import { type Interval, readIntervals } from './intervals.ts';
import { type Conversation, KIND, type StoredMessage } from './model.ts';
import { countThatFits, MESSAGE_COLUMNS, type MessageRow } from './read.ts';
import {
  CONVERSATION_COLUMNS,
  type ConversationColumns,
  conversationRow,
  MEMBER_COLUMNS,
  type MemberColumns,
  type MemberRow,
  memberRow,
  type Standing,
} from './standing.ts';

/** That there may be something for a user in a conversation. */
export interface Membership {
  readonly conversationId: Buffer;
  /** The user's own revision at which something last changed for them there. */
  readonly revision: number;
}

/** A user's own revision: every change for them up to it can be read. 0 before the first. */
export async function readUserRevision(session: Session, user: string): Promise<number> {
  const sql = 'SELECT revision FROM account WHERE user_name = ?';
  const [row] = await session.rows<[number]>(sql, [Buffer.from(user)]);
  return row?.[0] ?? 0;
}

/** Memberships that are read at a time: a row is a few dozen bytes. */
export const MEMBERSHIPS = 5_000;

/** The next `MEMBERSHIPS` of a user behind a conversation's id, by id. */
export async function readMemberships(
  session: Session,
  user: string,
  afterId: Buffer,
): Promise<Membership[]> {
  const rows = await session.rows<[Buffer, number]>(
    `SELECT conversation_id, revision FROM membership
     WHERE user_name = ? AND conversation_id > ? ORDER BY conversation_id LIMIT ${MEMBERSHIPS}`,
    [Buffer.from(user), afterId],
  );
  return rows.map(([conversationId, revision]) => ({ conversationId, revision }));
}

/** Memberships that changed are read so many at a time: one more than any page holds. */
const CHANGED_MEMBERSHIPS = INBOX_PAGE_MAX + 1;

/** The first memberships that changed after revision `since`, up to `upTo`, in the order in which they did. */
export async function readChangedMemberships(
  session: Session,
  user: string,
  since: number,
  upTo: number,
): Promise<Membership[]> {
  const rows = await session.rows<[Buffer, number]>(
    `SELECT conversation_id, revision FROM membership
     WHERE user_name = ? AND revision > ? AND revision <= ?
     ORDER BY revision LIMIT ${CHANGED_MEMBERSHIPS}`,
    [Buffer.from(user), since, upTo],
  );
  return rows.map(([conversationId, revision]) => ({ conversationId, revision }));
}

/** What decides where a conversation stands in a user's inbox, and nothing more: of some there are many. */
export interface Rank {
  readonly conversationId: Buffer;
  readonly lastSeq: number;
  readonly floorSeq: number;
  readonly lastSentAtMs: bigint;
  readonly appendedAtMs: number;
  readonly role: number;
  readonly intervals: readonly Interval[];
  readonly hiddenUpToSeq: number;
  readonly joinedAtMs: number;
  readonly leftSentAtMs: bigint;
}

/** The ranks of conversations, some hundred at a time, in no order; without deleted groups, and those where the user has no member row. */
export async function readRanks(
  session: Session,
  user: string,
  conversationIds: readonly Buffer[],
): Promise<Rank[]> {
  const rows = await session.rows<RankColumns>(
    `SELECT conversation.conversation_id, conversation.last_seq, conversation.floor_seq,
       CAST(conversation.last_sent_at_ms AS CHAR), conversation.appended_at_ms,
       member.role, member.intervals, member.hidden_up_to_seq, member.joined_at_ms,
       CAST(member.left_sent_at_ms AS CHAR)
     FROM conversation JOIN member ON member.conversation_id = conversation.conversation_id
     WHERE conversation.conversation_id IN (?) AND conversation.deleted_at_ms = 0
       AND member.user_name = ?`,
    [conversationIds, Buffer.from(user)],
  );
  return rows.map((row) => ({
    conversationId: row[0],
    lastSeq: row[1],
    floorSeq: row[2],
    lastSentAtMs: BigInt(row[3]),
    appendedAtMs: row[4],
    role: row[5],
    intervals: readIntervals(row[6]),
    hiddenUpToSeq: row[7],
    joinedAtMs: row[8],
    leftSentAtMs: BigInt(row[9]),
  }));
}

type RankColumns = [Buffer, number, number, string, number, number, Buffer, number, number, string];

/** A conversation with its standing: of the members the user, and in a pair both. */
export interface Listed {
  readonly conversation: Conversation;
  readonly standing: Standing;
}

/**
 * Conversations by their ids, some hundred at a time, in no order; deleted groups, too. Members are
 * read after conversations: who left meanwhile sees nothing that was said later.
 */
export async function readListed(
  session: Session,
  user: string,
  conversationIds: readonly Buffer[],
): Promise<Listed[]> {
  const rows = await session.rows<[Buffer, number, Buffer, Buffer, ...ConversationColumns]>(
    `SELECT conversation_id, kind, name_a, name_b, ${CONVERSATION_COLUMNS}
     FROM conversation WHERE conversation_id IN (?)`,
    [conversationIds],
  );
  const found = rows.map(([id, kind, a, b, ...columns]) => ({
    conversation: conversationOf(id, kind, a, b),
    row: conversationRow(columns),
  }));
  const idsOf = (kind: Conversation['kind']) =>
    found.flatMap(({ conversation }) => (conversation.kind === kind ? [conversation.id] : []));
  const members = [
    ...(await readMembers(session, '', idsOf('pair'), [])),
    ...(await readMembers(session, ' AND user_name = ?', idsOf('group'), [Buffer.from(user)])),
  ];
  const byId = Map.groupBy(members, ([id]) => id.toString('hex'));
  return found.map(({ conversation, row }) => {
    const rows = byId.get(conversation.id.toString('hex')) ?? [];
    const byName = new Map(rows.map(([, member]) => [member.user, member]));
    return { conversation, standing: { conversation: row, members: byName } };
  });
}

function conversationOf(id: Buffer, kind: number, a: Buffer, b: Buffer): Conversation {
  if (kind === KIND.group) return { id, kind: 'group', names: [a.toString()] };
  return { id, kind: 'pair', names: [a.toString(), b.toString()] };
}

async function readMembers(
  session: Session,
  condition: string,
  conversationIds: readonly Buffer[],
  values: readonly Value[],
): Promise<[Buffer, MemberRow][]> {
  if (conversationIds.length === 0) return [];
  const rows = await session.rows<[Buffer, ...MemberColumns]>(
    `SELECT conversation_id, ${MEMBER_COLUMNS} FROM member WHERE conversation_id IN (?)${condition}`,
    [conversationIds, ...values],
  );
  return rows.map(([id, ...columns]) => [id, memberRow(columns)]);
}

/** Where one message is. */
export interface Place {
  readonly conversationId: Buffer;
  /** 0 for nowhere. */
  readonly seq: number;
}

/**
 * The messages at some hundred places, in their order: of all of them, or of as many of the first as
 * fit in `maxBytes` of bodies, but of at least one. Undefined where none is, or no longer.
 */
export async function readEach(
  session: Session,
  places: readonly Place[],
  maxBytes: number,
): Promise<(StoredMessage | undefined)[]> {
  const found = await session.rowsOfEach<[number, ...MessageRow]>(
    `SELECT ?, ${MESSAGE_COLUMNS} FROM message WHERE conversation_id = ? AND seq = ?`,
    places.flatMap(({ conversationId, seq }, n) => (seq > 0 ? [[n, conversationId, seq]] : [])),
  );
  const rows = found.map(([, ...row]) => row);
  const fitting = found.slice(0, countThatFits(rows, maxBytes));
  const large = fitting.filter((row) => row[6] === null).map(([n]) => n);
  const whole = await session.rowsOfEach<[number, number, number, number, number, Buffer]>(
    `SELECT ?, seq, edited_at_ms, deleted_at_ms, revision, body
     FROM message WHERE conversation_id = ? AND seq = ?`,
    large.map((n) => [n, places[n]!.conversationId, places[n]!.seq]),
  );
  const messages = new Map<number, StoredMessage>();
  for (const [n, seq, editedAtMs, deletedAtMs, revision, , body] of fitting) {
    if (body) messages.set(n, { seq, editedAtMs, deletedAtMs, revision, body });
  }
  for (const [n, seq, editedAtMs, deletedAtMs, revision, body] of whole) {
    messages.set(n, { seq, editedAtMs, deletedAtMs, revision, body });
  }
  const end = found[fitting.length]?.[0] ?? places.length;
  return places.slice(0, end).map((_, n) => messages.get(n));
}
