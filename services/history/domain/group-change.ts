import type { Database, Transaction } from '../store/database.ts';
import type { Conversation } from '../store/model.ts';
import { notePending, type Pending, settlePending } from '../store/pending.ts';
import { type ConversationRow, lockStanding, type MemberRow } from '../store/standing.ts';
import { checkRole } from './rights.ts';

/** Who changes which group. */
export interface Actor {
  readonly conversation: Conversation;
  /** Empty for a service. */
  readonly user: string;
}

/** A group that is locked, so that nothing passes the change that is made to it. */
export interface LockedGroup {
  readonly transaction: Transaction;
  readonly conversation: Conversation;
  readonly group: ConversationRow;
  /** Rows of those whom the change is about, as far as they have one. */
  readonly members: ReadonlyMap<string, MemberRow>;
}

/** What came of a change. */
export interface Changed<T> {
  readonly value: T;
  /** Whose own revision has to rise. Absent where nothing changed. */
  readonly concerned?: readonly string[];
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
  return changeAndSettle(database, conversation, async (transaction) => {
    const users = [...new Set([user, ...about])];
    const standing = await lockStanding(transaction, conversation.id, users);
    const role = checkRole(conversation, user, standing, atLeast);
    const { conversation: group, members } = standing!;
    return change({ transaction, conversation, group, members }, role);
  });
}

/** Runs `change` as one transaction, and then what follows from it for those whom it concerns. */
export async function changeAndSettle<T>(
  database: Database,
  { id }: Conversation,
  change: (transaction: Transaction) => Promise<Changed<T>>,
): Promise<T> {
  const { value, pending } = await database.transaction(async (transaction) => {
    const { value, concerned } = await change(transaction);
    const pending: Pending | undefined =
      concerned && (await notePending(transaction, id, concerned));
    return { value: { value, pending }, commit: pending !== undefined };
  });
  if (pending) await settlePending(database, pending);
  return value;
}
