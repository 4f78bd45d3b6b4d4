import { create } from '@bufbuild/protobuf';
import {
  type GetGroupRequest,
  type GetGroupResponse,
  GetGroupResponseSchema,
  type Role,
} from '../../../clients/gen/backscroll/history/v1/directory_pb.ts';
import type { CallContext } from '../../common/call.ts';
import type { HistoryContext } from '../context.ts';
import { groupMessage } from '../domain/groups.ts';
import { checkRole } from '../domain/rights.ts';
import { ROLE, readStanding } from '../store/standing.ts';
import { actorOf } from './group-request.ts';

/** Tells a group's settings, and what the user is in it. */
export async function getGroup(
  { database }: Pick<HistoryContext, 'database'>,
  request: GetGroupRequest,
  { caller, signal }: CallContext,
): Promise<GetGroupResponse> {
  const { user, conversation } = actorOf(caller, request);
  const standing = await readStanding(database, conversation.id, [user], signal);
  const role = checkRole(conversation, user, standing, ROLE.member);
  return create(GetGroupResponseSchema, {
    group: groupMessage(conversation, standing!.conversation),
    ...(user !== '' && { role: role as Role }),
  });
}
