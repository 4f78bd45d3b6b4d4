import { GROUP } from '../limits.ts';
import type { Database, Session } from './database.ts';
import { clip, joined, left, writeIntervals } from './intervals.ts';
import {
  type ConversationRow,
  MEMBER_COLUMNS,
  type MemberColumns,
  type MemberRow,
  memberRow,
  ROLE,
  VISIBILITY,
} from './standing.ts';
import { MEMBER } from './tables.ts';

/** Writes what members may see and do, under the conversation's lock. Their marks only rise, as they do without it. */
export async function writeMembers(
  session: Session,
  conversationId: Buffer,
  members: readonly MemberRow[],
): Promise<void> {
  const rows = members.map((member) => [
    ...[conversationId, Buffer.from(member.user), member.role],
    ...[writeIntervals(member.intervals), member.epoch, member.readSeq, member.deliveredSeq],
    ...[member.joinedAtMs, member.leftSentAtMs, Buffer.from(member.leftTitle)],
  ]);
  await session.insert(MEMBER, rows, {
    role: 'replace',
    intervals: 'replace',
    epoch: 'replace',
    read_seq: 'raise',
    delivered_seq: 'raise',
    joined_at_ms: 'replace',
    left_sent_at_ms: 'replace',
    left_title: 'replace',
  });
}

/** The first seq that those see who join a group now. */
export function firstSeqOfNewcomers(group: ConversationRow): number {
  const { visibility, visibleMessages, lastSeq } = group;
  if (visibility === VISIBILITY.all) return 1;
  if (visibility === VISIBILITY.fromJoining) return lastSeq + 1;
  return Math.max(1, lastSeq - visibleMessages + 1);
}

/** Somebody who joins and sees all from `fromSeq` on; `before`: their row, where they were a member once. */
export function joining(
  user: string,
  before: MemberRow | undefined,
  role: number,
  fromSeq: number,
  joinedAtMs: number,
): MemberRow {
  const intervals = joined(before?.intervals ?? [], fromSeq).slice(-GROUP.intervals);
  const epoch = (before?.epoch ?? 0) + 1;
  return { ...NEW, ...before, user, role, intervals, epoch, joinedAtMs, ...STAYING };
}

const STAYING = { leftSentAtMs: 0n, leftTitle: '' };

const NEW = { hiddenUpToSeq: 0, hides: false, readSeq: 0, deliveredSeq: 0 };

/** Members as they are once they left a group after its last message. */
export async function leaving(
  session: Session,
  conversationId: Buffer,
  { floorSeq, lastSeq, title }: ConversationRow,
  members: readonly MemberRow[],
): Promise<MemberRow[]> {
  const gone = members.map((member) => ({
    ...member,
    role: ROLE.former,
    intervals: left(member.intervals, lastSeq),
    epoch: member.epoch + 1,
  }));
  const lastSeqs = gone.map(({ intervals }) => clip(intervals, floorSeq, lastSeq).at(-1)?.to ?? 0);
  const times = await sentTimes(session, conversationId, [...new Set(lastSeqs)]);
  return gone.map((member, index) => ({
    ...member,
    leftSentAtMs: times.get(lastSeqs[index]!) ?? 0n,
    leftTitle: title,
  }));
}

/** When the messages at these seqs were sent. */
async function sentTimes(
  session: Session,
  conversationId: Buffer,
  seqs: readonly number[],
): Promise<Map<number, bigint>> {
  const rows = await session.rows<[number, string]>(
    'SELECT seq, CAST(sent_at_ms AS CHAR) FROM message WHERE conversation_id = ? AND seq IN (?)',
    [conversationId, seqs],
  );
  return new Map(rows.map(([seq, sentAtMs]) => [seq, BigInt(sentAtMs)]));
}

/**
 * Up to `count` members, at most a page and one, whose names come after `after`, in the order of the
 * names' bytes. Former ones are left out.
 */
export function readMembers(
  database: Database,
  conversationId: Buffer,
  after: Buffer,
  count: number,
  signal: AbortSignal,
): Promise<MemberRow[]> {
  const rows = count > GROUP.pageDefault + 1 ? GROUP.pageMax + 1 : GROUP.pageDefault + 1;
  return database.run(async (session) => {
    const found = await session.rows<MemberColumns>(
      `SELECT ${MEMBER_COLUMNS} FROM member
       WHERE conversation_id = ? AND user_name > ? AND role > ${ROLE.former}
       ORDER BY user_name LIMIT ${rows}`,
      [conversationId, after],
    );
    return found.slice(0, count).map(memberRow);
  }, signal);
}
