import { create } from '@bufbuild/protobuf';
import {
  type DeleteGroupRequest,
  type DeleteGroupResponse,
  DeleteGroupResponseSchema,
} from '../../../clients/gen/backscroll/history/v1/directory_pb.ts';
import type { CallContext } from '../../common/call.ts';
import type { HistoryContext } from '../context.ts';
import { DEFAULT_SETTINGS } from '../domain/groups.ts';
import { checkRole } from '../domain/rights.ts';
import { writeGroup } from '../store/groups.ts';
import { notePending } from '../store/pending.ts';
import { lockStanding, ROLE, type Standing } from '../store/standing.ts';
import { actorOf } from './group-request.ts';

/** Deletes a group for everyone, at once; what is stored is left to the sweep. */
export async function deleteGroup(
  { database, nowMs }: Pick<HistoryContext, 'database' | 'nowMs'>,
  request: DeleteGroupRequest,
  { caller }: CallContext,
): Promise<DeleteGroupResponse> {
  const { user, conversation } = actorOf(caller, request);
  await database.transaction(async (transaction) => {
    const standing = await lockStanding(transaction, conversation.id, [user]);
    if (isRepeated(user, standing)) return { value: undefined, commit: false };
    checkRole(conversation, user, standing, ROLE.owner);
    await writeGroup(transaction, conversation.id, {
      ...standing!.conversation,
      ...DEFAULT_SETTINGS,
      deletedAtMs: nowMs(),
      memberCount: 0,
    });
    // Nobody has the empty name: it stands for the group's messages and members.
    await notePending(transaction, conversation.id, ['']);
    return { value: undefined, commit: true };
  });
  return create(DeleteGroupResponseSchema);
}

/** A service, or an owner while there are members' rows, may not have heard that it is done. */
function isRepeated(user: string, standing: Standing | undefined): boolean {
  if (standing === undefined || standing.conversation.deletedAtMs === 0) return false;
  return user === '' || standing.members.get(user)?.role === ROLE.owner;
}
