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
import { SWEPT_AT_ONCE } from '../limits.ts';
import { purgeMembers, writeGroup } from '../store/groups.ts';
import { notePending, raiseRevisions } from '../store/pending.ts';
import { lockStanding, ROLE, type Standing } from '../store/standing.ts';
import { actorOf } from './group-request.ts';

/**
 * Deletes a group for everyone, at once, and tells all who have it in their inbox; where the caller goes
 * away before the end, the sweep goes on. The messages are left to it, too.
 */
export async function deleteGroup(
  { database, nowMs }: Pick<HistoryContext, 'database' | 'nowMs'>,
  request: DeleteGroupRequest,
  { caller, signal }: CallContext,
): Promise<DeleteGroupResponse> {
  const { user, conversation } = actorOf(caller, request);
  const { id } = conversation;
  await database.transaction(async (transaction) => {
    const standing = await lockStanding(transaction, id, [user]);
    if (isRepeated(user, standing)) return { value: undefined, commit: false };
    checkRole(conversation, user, standing, ROLE.owner);
    await writeGroup(transaction, id, {
      ...standing!.conversation,
      ...DEFAULT_SETTINGS,
      deletedAtMs: nowMs(),
      memberCount: 0,
    });
    // Nobody has the empty name: it stands for the group's messages and members.
    await notePending(transaction, id, ['']);
    return { value: undefined, commit: true };
  });
  // A user who acts keeps their row until the sweep: by it they may repeat the call.
  while ((await purgeMembers(database, id, SWEPT_AT_ONCE, user)) > 0) signal.throwIfAborted();
  await raiseRevisions(database, id, [Buffer.from(user)]);
  return create(DeleteGroupResponseSchema);
}

/** A service, or an owner while there are members' rows, may not have heard that it is done. */
function isRepeated(user: string, standing: Standing | undefined): boolean {
  if (standing === undefined || standing.conversation.deletedAtMs === 0) return false;
  return user === '' || standing.members.get(user)?.role === ROLE.owner;
}
