import type { Database, Transaction } from '../store/database.ts';
import type { Conversation } from '../store/model.ts';
import { type Changed, changeAndSettle } from '../store/pending.ts';
import { type ConversationRow, lockStanding, type MemberRow } from '../store/standing.ts';
import type { Actor } from './conversation.ts';
import { checkRole } from './rights.ts';

/** A group that is locked, so that nothing passes the change that is made to it. */
export interface LockedGroup {
  readonly transaction: Transaction;
  readonly conversation: Conversation;
  readonly group: ConversationRow;
  /** Rows of those whom the change is about, as far as they have one. */
  readonly members: ReadonlyMap<string, MemberRow>;
}

/**
 * Makes a change to a group, all or nothing, and returns when it has reached the own revisions of all
 * whom it concerns. `change` gets the role of whoever acts, and may be called again.
 *
 * @throws ServiceError as `checkRole`
 */
export function changeGroup<T>(
  database: Database,
  { conversation, user }: Actor,
  atLeast: number,
  about: readonly string[],
  change: (locked: LockedGroup, role: number) => Promise<Changed<T>>,
): Promise<T> {
  return changeAndSettle(database, conversation.id, async (transaction) => {
    const users = [...new Set([user, ...about])];
    const standing = await lockStanding(transaction, conversation.id, users);
    const role = checkRole(conversation, user, standing, atLeast);
    const { conversation: group, members } = standing!;
    return change({ transaction, conversation, group, members }, role);
  });
}
