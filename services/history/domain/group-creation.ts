import { alreadyExists, type ServiceError } from '../../common/errors.ts';
import type { Database } from '../store/database.ts';
import { writeMembers } from '../store/members.ts';
import { changeAndSettle } from '../store/pending.ts';
import { type ConversationRow, isMember, lockOrBegin, type MemberRow } from '../store/standing.ts';
import { admit } from './admission.ts';
import type { Actor } from './conversation.ts';
import type { LockedGroup } from './group-change.ts';
import type { Settings } from './groups.ts';

/**
 * Creates a group with `roles` as its first members, who see all. One that appends brought into being
 * is taken over by a service, or by a member. Repeated by a service or a member it changes nothing.
 *
 * @throws ServiceError GROUP_EXISTS; TOO_MANY_MEMBERS
 */
export function createGroup(
  database: Database,
  { conversation, user }: Actor,
  settings: Required<Settings>,
  roles: ReadonlyMap<string, number>,
  nowMs: () => number,
): Promise<ConversationRow> {
  return changeAndSettle(database, conversation.id, async (transaction) => {
    const users = [...new Set([user, ...roles.keys()])];
    const standing = await lockOrBegin(transaction, conversation, users);
    const { conversation: group, members } = standing;
    const knows = user === '' || isMember(members.get(user));
    const isNew = group.lastSeq === 0 && group.createdAtMs === 0;
    if (group.deletedAtMs > 0 || !(isNew || knows)) throw groupExists();
    if (group.createdAtMs > 0) {
      if (isLike(group, settings)) return { value: group };
      throw groupExists();
    }

    const atMs = nowMs();
    const created = { ...group, ...settings, createdAtMs: atMs };
    const locked = { transaction, conversation, group: created, members };
    const changed = await giveRoles(locked, roles);
    const admitted = await admit(locked, roles, 1, atMs);
    return { value: admitted.group, concerned: [...changed, ...admitted.users] };
  });
}

function isLike(group: ConversationRow, settings: Required<Settings>): boolean {
  return Object.entries(settings).every(([name, value]) => group[name as keyof Settings] === value);
}

/** Gives those who are members already their roles, and returns whose changed. */
async function giveRoles(
  { transaction, conversation, members }: LockedGroup,
  roles: ReadonlyMap<string, number>,
): Promise<string[]> {
  const rows = [...members.values()]
    .filter(isMember)
    .map((member): MemberRow => ({ ...member, role: roles.get(member.user) ?? member.role }))
    .filter(({ user, role }) => role !== members.get(user)?.role);
  await writeMembers(transaction, conversation.id, rows);
  return rows.map(({ user }) => user);
}

/** The same whether the group is there, was deleted, or merely holds messages. */
function groupExists(): ServiceError {
  return alreadyExists('GROUP_EXISTS', 'There is, or was, a group of this name.');
}
