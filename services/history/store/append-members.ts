import { type Change, sendersOf } from './append-places.ts';
import type { Transaction } from './database.ts';
import { writeMarks } from './marks.ts';
import { joining, writeMembers } from './members.ts';
import { noteMemberships } from './pending.ts';
import { isMember, type MemberRow, ROLE } from './standing.ts';

/**
 * Writes what an append changes for users: whoever joins becomes a member, and messages that are not
 * imported raise the marks of their senders. With `joins` senders join a group that nobody created;
 * the two users of a pair join with its first message, and again where their rows were erased.
 *
 * @returns who joined
 */
export async function writeSenders(
  transaction: Transaction,
  change: Change,
  joins: boolean,
): Promise<string[]> {
  const { conversation, members, fresh } = change;
  const senders = sendersOf(fresh.map(({ message }) => message));
  const newcomers = newcomersOf(change, joins ? senders : []);
  // Erasure finds by their memberships what users left, also as mere senders.
  const users = [...new Set([...newcomers, ...senders])].sort(byBytes);
  const unknown = users.filter((user) => !members.has(user));
  if (unknown.length > 0) await noteMemberships(transaction, conversation.id, unknown);

  const rows = rowsOf(change, users, newcomers);
  const [only] = rows;
  // Mostly one member writes, and only their marks change: this costs MySQL half of what a row does.
  if (only && rows.length === 1 && newcomers.size === 0) {
    await writeMarks(transaction, conversation.id, only.user, only);
  } else {
    await writeMembers(transaction, conversation.id, rows);
  }
  return [...newcomers];
}

function newcomersOf({ conversation, before, members }: Change, joining: string[]): Set<string> {
  if (conversation.kind === 'group') {
    if (before.createdAtMs > 0) return new Set();
    return new Set(joining.filter((user) => !isMember(members.get(user))));
  }
  if (before.lastSeq > 0 && !before.incomplete) return new Set();
  return new Set(conversation.names.filter((user) => !members.has(user)));
}

/** The rows of those of `users` that change. */
function rowsOf(
  { conversation, before, members, fresh, imported, nowMs }: Change,
  users: readonly string[],
  newcomers: ReadonlySet<string>,
): MemberRow[] {
  // What was said in a pair before one was erased is theirs no more.
  const fromSeq = conversation.kind === 'group' ? 1 : before.lastSeq + 1;
  const sent = imported ? [] : fresh;
  const marks = new Map(sent.map(({ seq, message }) => [message.sender, seq]));
  return users.flatMap((user) => {
    const found = members.get(user);
    const joins = newcomers.has(user);
    const row = joins ? joining(user, found, ROLE.member, fromSeq, nowMs) : found;
    const mark = marks.get(user) ?? 0;
    if (!isMember(row) || (!joins && mark === 0)) return [];
    return [
      {
        ...row,
        readSeq: Math.max(row.readSeq, mark),
        deliveredSeq: Math.max(row.deliveredSeq, mark),
      },
    ];
  });
}

/** One order for all writers: none waits for another that waits for it. */
function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
