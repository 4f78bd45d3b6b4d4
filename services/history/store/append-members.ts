import type { Transaction, Value } from './database.ts';
import { joined, writeIntervals } from './intervals.ts';
import { noteMemberships, notePending, type Pending } from './pending.ts';
import { type Change, sendersOf } from './settle.ts';
import { type MemberRow, ROLE } from './standing.ts';
import { MEMBER } from './tables.ts';

/** Members that an append made. */
interface Joined {
  /** How many a group has more. */
  readonly joined: number;
  /** To be settled after the commit, where somebody joined. */
  readonly pending?: Pending;
}

/**
 * Writes what an append changes for users: whoever joins becomes a member, and messages that are not
 * imported raise the marks of their senders. With `joins` senders join a group that nobody created;
 * the two users of a pair join with its first message, and again where their rows were erased.
 */
export async function writeMembers(
  transaction: Transaction,
  change: Change,
  joins: boolean,
): Promise<Joined> {
  const { conversation, members } = change;
  const newcomers = newcomersOf(change, joins);
  // Erasure finds by them what a user left, also as a mere sender.
  const mentioned = new Set([
    ...newcomers,
    ...sendersOf(change.fresh.map(({ message }) => message)),
  ]);
  const unknown = [...mentioned].filter((user) => !members.has(user)).sort(byBytes);
  if (unknown.length > 0) await noteMemberships(transaction, conversation.id, unknown);

  const rows = rowsOf(change, newcomers);
  await transaction.insert(MEMBER, rows, AS_THEY_ARE_NOW);
  if (newcomers.size === 0) return { joined: 0 };
  const pending = await notePending(transaction, conversation.id, [...newcomers]);
  return { joined: conversation.kind === 'group' ? newcomers.size : 0, pending };
}

/** Rows that are there were read under the lock, and are written back; marks alone rise without it. */
const AS_THEY_ARE_NOW = {
  role: 'replace',
  intervals: 'replace',
  epoch: 'replace',
  read_seq: 'raise',
  delivered_seq: 'raise',
  joined_at_ms: 'replace',
  left_sent_at_ms: 'replace',
} as const;

function newcomersOf(
  { conversation, before, members, fresh }: Change,
  joins: boolean,
): Set<string> {
  const isMember = (user: string) => (members.get(user)?.role ?? ROLE.former) !== ROLE.former;
  if (conversation.kind === 'group') {
    if (!joins || before.createdAtMs > 0) return new Set();
    const senders = sendersOf(fresh.map(({ message }) => message));
    return new Set(senders.filter((user) => !isMember(user)));
  }
  if (before.lastSeq > 0 && !before.incomplete) return new Set();
  return new Set(conversation.names.filter((user) => !members.has(user)));
}

function rowsOf(change: Change, newcomers: ReadonlySet<string>): Value[][] {
  const { conversation, before, members } = change;
  const marks = marksOf(change);
  const users = [...new Set([...newcomers, ...marks.keys()])].sort(byBytes);
  // What a pair's user said or was told before they were erased is theirs no more.
  const fromSeq = conversation.kind === 'group' ? 1 : before.lastSeq + 1;
  return users.flatMap((user) => {
    const found = members.get(user);
    const row = newcomers.has(user) ? newMember(found, fromSeq, change.nowMs) : found;
    if (row === undefined || row.role === ROLE.former) return [];
    const { role, intervals, epoch, readSeq, deliveredSeq, joinedAtMs, leftSentAtMs } = row;
    const mark = marks.get(user) ?? 0;
    return [
      [
        ...[conversation.id, Buffer.from(user), role, writeIntervals(intervals), epoch],
        ...[Math.max(readSeq, mark), Math.max(deliveredSeq, mark), joinedAtMs, leftSentAtMs],
      ],
    ];
  });
}

type StandingOfMember = Omit<MemberRow, 'user' | 'hiddenUpToSeq' | 'hides'>;

function newMember(
  former: MemberRow | undefined,
  fromSeq: number,
  nowMs: number,
): StandingOfMember {
  return {
    role: ROLE.member,
    intervals: joined(former?.intervals ?? [], fromSeq),
    epoch: (former?.epoch ?? 0) + 1,
    readSeq: former?.readSeq ?? 0,
    deliveredSeq: former?.deliveredSeq ?? 0,
    joinedAtMs: nowMs,
    leftSentAtMs: 0n,
  };
}

/** Each sender's last message; none of imported ones. */
function marksOf({ fresh, imported }: Change): Map<string, number> {
  if (imported) return new Map();
  return new Map(fresh.map(({ seq, message }) => [message.sender, seq]));
}

/** One order for all writers: none waits for another that waits for it. */
function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
