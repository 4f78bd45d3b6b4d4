import type { Database } from '../store/database.ts';
import { hide, hideUpTo } from '../store/hide.ts';
import { changeAndSettle } from '../store/pending.ts';
import type { Actor } from './conversation.ts';
import type { Deleted } from './delete-messages.ts';
import { seenAmong } from './seen.ts';
import { lockView } from './view.ts';

/**
 * Deletes messages for the user alone: those of `seqs` that they see. Their other devices learn of it.
 *
 * @throws ServiceError NOT_A_MEMBER
 */
export function deleteForUser(
  database: Database,
  { conversation, user }: Actor,
  seqs: readonly number[],
  nowMs: number,
): Promise<Deleted> {
  return changeAndSettle(database, conversation.id, async (transaction) => {
    const view = await lockView(transaction, conversation, user);
    const seen = await seenAmong(transaction, view, seqs, nowMs);
    if (seen.length === 0) return { value: { deleted: 0, revision: view.revision } };
    const revision = view.revision + 1;
    await hide(transaction, conversation.id, user, revision, seen, nowMs);
    return { value: { deleted: seen.length, revision }, concerned: [user] };
  });
}

/** As `deleteForUser`, all up to a seq, and at most up to the last that the user may see. */
export function deleteForUserUpTo(
  database: Database,
  { conversation, user }: Actor,
  upToSeq: number,
): Promise<Deleted> {
  return changeAndSettle(database, conversation.id, async (transaction) => {
    const view = await lockView(transaction, conversation, user);
    const value = { deleted: 0, revision: view.revision };
    const seq = Math.min(upToSeq, view.lastSeq);
    if (view.member === undefined || seq <= view.member.hiddenUpToSeq) return { value };
    await hideUpTo(transaction, conversation.id, user, seq);
    return { value, concerned: [user] };
  });
}
