import { resourceExhausted } from '../../common/errors.ts';
import { GROUP } from '../limits.ts';
import { writeGroup } from '../store/groups.ts';
import { joining, leaving, writeMembers } from '../store/members.ts';
import { noteMemberships } from '../store/pending.ts';
import { type ConversationRow, isMember, type MemberRow } from '../store/standing.ts';
import type { LockedGroup } from './group-change.ts';

/** What admitting or dismissing members changed. */
export interface MembersChanged {
  readonly group: ConversationRow;
  /** Who came, or left. */
  readonly users: readonly string[];
}

/**
 * Makes those of `roles` members who are none, and writes the group. They see all from `fromSeq` on, and
 * what they saw when they were members before.
 *
 * @throws ServiceError TOO_MANY_MEMBERS
 */
export async function admit(
  { transaction, conversation, group, members }: LockedGroup,
  roles: ReadonlyMap<string, number>,
  fromSeq: number,
  nowMs: number,
): Promise<MembersChanged> {
  const users = [...roles.keys()].filter((user) => !isMember(members.get(user)));
  const grown = { ...group, memberCount: group.memberCount + users.length };
  if (grown.memberCount > GROUP.members) {
    throw resourceExhausted('TOO_MANY_MEMBERS', `A group has at most ${GROUP.members} members.`);
  }
  const rows = users.map((user) =>
    joining(user, members.get(user), roles.get(user)!, fromSeq, nowMs),
  );
  const unknown = users.filter((user) => !members.has(user));
  await noteMemberships(transaction, conversation.id, unknown);
  await writeMembers(transaction, conversation.id, rows);
  await writeGroup(transaction, conversation.id, grown);
  return { group: grown, users };
}

/** Makes members former ones, who keep what they saw, and writes the group. */
export async function dismiss(
  { transaction, conversation, group }: LockedGroup,
  leavers: readonly MemberRow[],
): Promise<MembersChanged> {
  const rows = await leaving(transaction, conversation.id, group, leavers);
  const shrunk = { ...group, memberCount: group.memberCount - leavers.length };
  await writeMembers(transaction, conversation.id, rows);
  await writeGroup(transaction, conversation.id, shrunk);
  return { group: shrunk, users: leavers.map(({ user }) => user) };
}
