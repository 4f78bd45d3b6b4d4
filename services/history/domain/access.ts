import { notFound, permissionDenied, type ServiceError } from '../../common/errors.ts';
import type { Conversation, HistoryStore, Standing } from '../store/store.ts';

/** What a reader may see: seqs from `oldest` to `newest`, none where `newest` is less. */
export interface View {
  readonly oldest: number;
  readonly newest: number;
  readonly revision: number;
}

const UNSPOKEN: Standing = { lastSeq: 0, floorSeq: 1, revision: 0 };

/**
 * What `user` may see of a conversation at this moment; empty for the whole of a group. It is read
 * once, and bounds everything that is then read.
 *
 * @throws ServiceError NOT_A_MEMBER, the same whether or not there is such a group; GROUP_NOT_FOUND
 */
export async function viewOf(
  store: HistoryStore,
  conversation: Conversation,
  user: string,
  signal: AbortSignal,
): Promise<View> {
  if (conversation.kind === 'pair') {
    // Two users who never spoke have an empty history.
    const standing = (await store.standing(conversation.id, undefined, signal)) ?? UNSPOKEN;
    return view(standing, standing.floorSeq);
  }
  if (user === '') {
    const standing = await store.standing(conversation.id, undefined, signal);
    if (standing === undefined) throw notFound('GROUP_NOT_FOUND', 'There is no such group.');
    return view(standing, standing.floorSeq);
  }
  const standing = await store.standing(conversation.id, user, signal);
  if (standing?.memberFromSeq === undefined) throw notAMember();
  return view(standing, Math.max(standing.floorSeq, standing.memberFromSeq));
}

/** Holds a user to groups that they are a member of. @throws ServiceError NOT_A_MEMBER */
export async function checkMember(
  store: HistoryStore,
  group: Conversation,
  user: string,
  signal: AbortSignal,
): Promise<void> {
  const standing = await store.standing(group.id, user, signal);
  if (standing?.memberFromSeq === undefined) throw notAMember();
}

function view({ lastSeq, revision }: Standing, oldest: number): View {
  return { oldest, newest: lastSeq, revision };
}

function notAMember(): ServiceError {
  return permissionDenied(
    'NOT_A_MEMBER',
    'The user is no member of the group, or there is no such group.',
  );
}
