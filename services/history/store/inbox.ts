import { INBOX_PAGE_MAX } from '../limits.ts';
import type { Session } from './database.ts';
import { type Interval, readIntervals } from './intervals.ts';

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
    // A hint: MySQL would read them by revision, and sort them.
    `SELECT /*+ INDEX(membership PRIMARY) */ conversation_id, revision FROM membership
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
