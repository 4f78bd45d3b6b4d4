import { randomBytes } from 'node:crypto';
import { SWEPT_AT_ONCE } from '../limits.ts';
import type { Database, Session, Transaction } from './database.ts';
import { keyOf } from './model.ts';
import { ACCOUNT, MEMBERSHIP, PENDING } from './tables.ts';

/** Users whose own revision has to rise because of a change in one conversation. */
export interface Pending {
  readonly conversationId: Buffer;
  readonly notes: readonly { readonly id: Buffer; readonly user: string }[];
}

/** What came of a change. */
export interface Changed<T> {
  readonly value: T;
  /** Whose own revision has to rise; absent where nothing changed, and nothing is to be committed. */
  readonly concerned?: readonly string[];
}

/**
 * Runs `change` of a conversation as one transaction, and then what follows from it for those whom it
 * concerns.
 */
export async function changeAndSettle<T>(
  database: Database,
  conversationId: Buffer,
  change: (transaction: Transaction) => Promise<Changed<T>>,
): Promise<T> {
  const { value, pending } = await database.transaction(async (transaction) => {
    const { value, concerned } = await change(transaction);
    const pending = concerned?.length
      ? await notePending(transaction, conversationId, concerned)
      : undefined;
    return { value: { value, pending }, commit: concerned !== undefined };
  });
  if (pending) await settlePending(database, pending);
  return value;
}

/**
 * Notes, in the transaction of a change, that it has to reach these users' own revisions. What follows
 * is `settlePending`, after the commit: by whoever made the change, or by the sweep where they died.
 */
export async function notePending(
  session: Session,
  conversationId: Buffer,
  users: readonly string[],
): Promise<Pending> {
  const notes = users.map((user) => ({ id: randomBytes(16), user }));
  const rows = notes.map(({ id, user }) => [conversationId, id, Buffer.from(user)]);
  await session.insert(PENDING, rows, 'refuse');
  return { conversationId, notes };
}

/**
 * Writes that there may be something for users in a conversation, before their first member row is
 * there; alone it does no harm. Erasure finds by it what a user left, also as a mere sender.
 */
export async function noteMemberships(
  transaction: Transaction,
  conversationId: Buffer,
  users: readonly string[],
): Promise<void> {
  const rows = users.map((user) => [Buffer.from(user), conversationId, 0]);
  await transaction.insertAhead(MEMBERSHIP, rows, 'keep');
}

/**
 * Raises the revision of each user that was noted, some hundred in a transaction, and then removes the
 * notes. May be done again without harm: a revision only rises once more.
 */
export async function settlePending(
  database: Database,
  { conversationId, notes }: Pending,
): Promise<void> {
  const users = [...new Set(notes.map(({ user }) => user))].map((user) => Buffer.from(user));
  for (let first = 0; first < users.length; first += SWEPT_AT_ONCE) {
    await raiseRevisions(database, conversationId, users.slice(first, first + SWEPT_AT_ONCE));
  }
  await removePending(database, { conversationId, notes });
}

/** Removes notes of which all is done. */
export async function removePending(
  database: Database,
  { conversationId, notes }: Pending,
): Promise<void> {
  if (notes.length === 0) return;
  const ids = notes.map(({ id }) => id);
  await database.run((session) =>
    session.write('DELETE FROM pending WHERE conversation_id = ? AND pending_id IN (?)', [
      ...[conversationId, ids],
    ]),
  );
}

/**
 * Notes that are there, from a conversation on in the order of the conversations' ids: up to
 * `SWEPT_AT_ONCE` of them. Who made them may be about to settle them.
 */
export async function readPending(database: Database, from: Buffer): Promise<Pending[]> {
  const rows = await database.run((session) =>
    session.rows<[Buffer, Buffer, Buffer]>(
      `SELECT conversation_id, pending_id, user_name FROM pending WHERE conversation_id >= ?
       ORDER BY conversation_id, pending_id LIMIT ${SWEPT_AT_ONCE}`,
      [from],
    ),
  );
  const byConversation = Map.groupBy(rows, ([conversationId]) => keyOf(conversationId));
  return [...byConversation.values()].map((found) => ({
    conversationId: found[0]![0],
    notes: found.map(([, id, user]) => ({ id, user: user.toString() })),
  }));
}

/**
 * Raises the revisions of some hundred users because of a change in a conversation. Who has no membership
 * any more was erased, and gets no row again.
 */
export async function raiseRevisions(
  database: Database,
  conversationId: Buffer,
  users: readonly Buffer[],
): Promise<void> {
  // A reader who knows a user's revision knows all that it stands for: its row is locked until both are
  // written. Both rows of a user stand in one shard: should others fail to commit theirs, these are
  // whole, and rise once more when it is repeated.
  await database.transaction(async (session) => {
    const rows = await session.rows<[Buffer]>(
      'SELECT user_name FROM membership WHERE user_name IN (?) AND conversation_id = ? FOR UPDATE',
      [users, conversationId],
    );
    if (rows.length === 0) return { value: undefined, commit: false };
    // One order for all writers: none waits for another that waits for it.
    const names = rows.flat().sort(Buffer.compare);
    const accounts = names.map((name) => [name, 1]);
    await session.insert(ACCOUNT, accounts, { revision: 'surpass' });
    await session.write(
      `UPDATE membership SET revision =
         (SELECT revision FROM account WHERE account.user_name = membership.user_name)
       WHERE user_name IN (?) AND conversation_id = ?`,
      [names, conversationId],
    );
    return { value: undefined, commit: true };
  });
}
