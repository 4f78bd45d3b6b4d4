import { create } from '@bufbuild/protobuf';
import {
  type RemoveMembersRequest,
  type RemoveMembersResponse,
  RemoveMembersResponseSchema,
} from '../../../clients/gen/backscroll/history/v1/directory_pb.ts';
import type { CallContext } from '../../common/call.ts';
import type { HistoryContext } from '../context.ts';
import { dismiss } from '../domain/admission.ts';
import { roleTooLow } from '../domain/errors.ts';
import { checkMost, checkName } from '../domain/faults.ts';
import { changeGroup } from '../domain/group-change.ts';
import { GROUP } from '../limits.ts';
import { isMember, type MemberRow, ROLE } from '../store/standing.ts';
import { actorOf } from './group-request.ts';

/** Removes members from a group, all or none. */
export async function removeMembers(
  { database }: Pick<HistoryContext, 'database'>,
  request: RemoveMembersRequest,
  { caller }: CallContext,
): Promise<RemoveMembersResponse> {
  const { user, members } = request;
  const actor = actorOf(caller, request, (faults) => {
    if (members.length === 0) faults.add('MISSING_FIELD', 'members', 'is required');
    checkMost(faults, () => 'members', members.length, GROUP.membersAtOnce);
    for (const [index, name] of members.slice(0, GROUP.membersAtOnce).entries()) {
      checkName(faults, () => `members[${index}]`, name);
    }
  });
  const leaving = new Set(members);
  // Whoever left may say so again: they know of the group, and learn nothing new of it.
  const alone = leaving.size === 1 && leaving.has(user);
  const atLeast = alone ? ROLE.former : ROLE.moderator;
  const counts = await changeGroup(database, actor, atLeast, members, async (locked, role) => {
    if (role === ROLE.former) return { value: { removed: 0, memberCount: 0 } };
    const leavers = [...locked.members.values()].filter(
      (member) => leaving.has(member.user) && isMember(member),
    );
    if (!leavers.every((member) => mayRemove(user, role, member))) throw roleTooLow();
    const { group, users } = await dismiss(locked, leavers);
    const value = { removed: users.length, memberCount: group.memberCount };
    return users.length > 0 ? { value, concerned: users } : { value };
  });
  return create(RemoveMembersResponseSchema, counts);
}

function mayRemove(user: string, role: number, member: MemberRow): boolean {
  return member.user === user || member.role < role || role === ROLE.owner;
}
