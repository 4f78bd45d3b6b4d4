import { create } from '@bufbuild/protobuf';
import {
  type UpdateGroupRequest,
  type UpdateGroupResponse,
  UpdateGroupResponseSchema,
} from '../../../clients/gen/backscroll/history/v1/directory_pb.ts';
import type { CallContext } from '../../common/call.ts';
import type { HistoryContext } from '../context.ts';
import { changeGroup } from '../domain/group-change.ts';
import { checkSettings, groupMessage, settingsOf } from '../domain/groups.ts';
import { writeGroup } from '../store/groups.ts';
import { ROLE } from '../store/standing.ts';
import { actorOf } from './group-request.ts';

/** Changes a group's settings, those that the request names. */
export async function updateGroup(
  { database }: Pick<HistoryContext, 'database'>,
  request: UpdateGroupRequest,
  { caller }: CallContext,
): Promise<UpdateGroupResponse> {
  const actor = actorOf(caller, request, (faults) => checkSettings(faults, request));
  const { conversation } = actor;
  const group = await changeGroup(database, actor, ROLE.owner, [], async (locked) => {
    const group = { ...locked.group, ...settingsOf(request) };
    await writeGroup(locked.transaction, conversation.id, group);
    return { value: group, concerned: [] };
  });
  return create(UpdateGroupResponseSchema, { group: groupMessage(conversation, group) });
}
