import { create } from '@bufbuild/protobuf';
import {
  type AddMembersRequest,
  type AddMembersResponse,
  AddMembersResponseSchema,
} from '../../../clients/gen/backscroll/history/v1/directory_pb.ts';
import type { CallContext } from '../../common/call.ts';
import type { HistoryContext } from '../context.ts';
import { admit } from '../domain/admission.ts';
import { roleTooLow } from '../domain/errors.ts';
import { changeGroup } from '../domain/group-change.ts';
import { checkMembers, rolesOf } from '../domain/groups.ts';
import { firstSeqOfNewcomers } from '../store/members.ts';
import { ROLE } from '../store/standing.ts';
import { actorOf } from './group-request.ts';

/** Adds members to a group, all or none. */
export async function addMembers(
  { database, nowMs }: Pick<HistoryContext, 'database' | 'nowMs'>,
  request: AddMembersRequest,
  { caller }: CallContext,
): Promise<AddMembersResponse> {
  const actor = actorOf(caller, request, (faults) => {
    if (request.members.length === 0) faults.add('MISSING_FIELD', 'members', 'is required');
    checkMembers(faults, request.members);
  });
  const roles = rolesOf(request.members);
  const highest = Math.max(...roles.values());
  const users = [...roles.keys()];
  const counts = await changeGroup(database, actor, ROLE.moderator, users, async (locked, role) => {
    if (highest > role) throw roleTooLow();
    const { group, users } = await admit(locked, roles, firstSeqOfNewcomers(locked.group), nowMs());
    const value = { added: users.length, memberCount: group.memberCount };
    return users.length > 0 ? { value, concerned: users } : { value };
  });
  return create(AddMembersResponseSchema, counts);
}
