import { create } from '@bufbuild/protobuf';
import {
  Role,
  type SetRoleRequest,
  type SetRoleResponse,
  SetRoleResponseSchema,
} from '../../../clients/gen/backscroll/history/v1/directory_pb.ts';
import type { CallContext } from '../../common/call.ts';
import { notFound } from '../../common/errors.ts';
import type { HistoryContext } from '../context.ts';
import { roleTooLow } from '../domain/errors.ts';
import { checkEnum, checkName } from '../domain/faults.ts';
import { changeGroup } from '../domain/group-change.ts';
import { writeMembers } from '../store/members.ts';
import { isMember, ROLE } from '../store/standing.ts';
import { actorOf } from './group-request.ts';

/** Gives a member another role. The last owner may step down: a service can always make another. */
export async function setRole(
  { database }: Pick<HistoryContext, 'database'>,
  request: SetRoleRequest,
  { caller }: CallContext,
): Promise<SetRoleResponse> {
  const { member: name, role } = request;
  const actor = actorOf(caller, request, (faults) => {
    checkName(faults, () => 'member', name);
    checkEnum(faults, () => 'role', role, Role);
  });
  await changeGroup(database, actor, ROLE.member, [name], async (locked, own) => {
    const member = locked.members.get(name);
    // Also an owner who stepped down and did not hear that it was done.
    if (isMember(member) && name === actor.user && member.role === role)
      return { value: undefined };
    if (own < ROLE.owner) throw roleTooLow();
    if (!isMember(member)) {
      throw notFound('MEMBER_NOT_FOUND', 'The one it is about is no member of the group.');
    }
    if (member.role === role) return { value: undefined };
    await writeMembers(locked.transaction, actor.conversation.id, [{ ...member, role }]);
    return { value: undefined, concerned: [name] };
  });
  return create(SetRoleResponseSchema);
}
