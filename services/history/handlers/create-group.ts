import { create } from '@bufbuild/protobuf';
import {
  type CreateGroupRequest,
  type CreateGroupResponse,
  CreateGroupResponseSchema,
} from '../../../clients/gen/backscroll/history/v1/directory_pb.ts';
import type { CallContext } from '../../common/call.ts';
import type { HistoryContext } from '../context.ts';
import { createGroup as createAs } from '../domain/group-creation.ts';
import {
  checkMembers,
  checkSettings,
  DEFAULT_SETTINGS,
  groupMessage,
  rolesOf,
  settingsOf,
} from '../domain/groups.ts';
import { ROLE } from '../store/standing.ts';
import { actorOf } from './group-request.ts';

/** Creates a group, with members. */
export async function createGroup(
  { database, nowMs }: Pick<HistoryContext, 'database' | 'nowMs'>,
  request: CreateGroupRequest,
  { caller }: CallContext,
): Promise<CreateGroupResponse> {
  const actor = actorOf(caller, request, (faults) => {
    checkSettings(faults, request);
    checkMembers(faults, request.members);
  });
  const roles = rolesOf(request.members);
  if (actor.user !== '') roles.set(actor.user, ROLE.owner);
  const settings = { ...DEFAULT_SETTINGS, ...settingsOf(request) };
  const group = await createAs(database, actor, settings, roles, nowMs);
  return create(CreateGroupResponseSchema, { group: groupMessage(actor.conversation, group) });
}
