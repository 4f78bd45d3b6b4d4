import { SWEPT_AT_ONCE } from '../limits.ts';
import type { Database, Session, Transaction } from './database.ts';
import type { Closed } from './intervals.ts';
import { KIND } from './model.ts';
import { lockStanding } from './standing.ts';
import { ERASURE } from './tables.ts';

/** Notes that a user is to be erased: from now on it goes on by itself until `endErasure`. */
export function noteErasure(database: Database, user: string, nowMs: number): Promise<void> {
  return database.run((session) => session.insert(ERASURE, [[Buffer.from(user), nowMs]], 'keep'));
}

/** Whether a user is to be erased still. */
export async function isNoted(session: Session, user: string): Promise<boolean> {
  const rows = await session.rows('SELECT 1 FROM erasure WHERE user_name = ?', [Buffer.from(user)]);
  return rows.length > 0;
}

/** The first of those behind `behind` whose erasure is under way, in the order of their names' bytes. */
export async function nextErasure(database: Database, behind: string): Promise<string | undefined> {
  const [row] = await database.run((session) =>
    session.rows<[Buffer]>(
      'SELECT user_name FROM erasure WHERE user_name > ? ORDER BY user_name LIMIT 1',
      [Buffer.from(behind)],
    ),
  );
  return row?.[0].toString();
}

/** Which messages of a range a user sent, deleted ones too. The caller keeps the range short. */
export async function readSent(
  session: Session,
  conversationId: Buffer,
  user: string,
  { from, to }: Closed,
): Promise<number[]> {
  const rows = await session.rows<[number]>(
    'SELECT seq FROM message WHERE conversation_id = ? AND seq BETWEEN ? AND ? AND sender = ?',
    [conversationId, from, to, Buffer.from(user)],
  );
  return rows.flat();
}

/** Tables that tell what a user hid, and by what. */
const HIDDEN_BY_USER = [
  ['hidden', 'seq'],
  ['change_log', 'revision'],
] as const;

/** Removes some of what tells that a user hid messages. @returns whether there was any */
export async function removeHidden(
  session: Session,
  conversationId: Buffer,
  user: string,
): Promise<boolean> {
  const key = [conversationId, Buffer.from(user)];
  let found = 0;
  for (const [table, column] of HIDDEN_BY_USER) {
    const rows = await session.rows<[number]>(
      `SELECT ${column} FROM ${table} WHERE conversation_id = ? AND user_name = ?
       ORDER BY ${column} LIMIT ${SWEPT_AT_ONCE}`,
      key,
    );
    await session.write(
      `DELETE FROM ${table} WHERE conversation_id = ? AND user_name = ? AND ${column} IN (?)`,
      [...key, [...new Set(rows.flat())]],
    );
    found += rows.length;
  }
  return found > 0;
}

/**
 * Removes a user from a conversation that the transaction has locked. Who writes next to a pair makes
 * its member rows complete again.
 */
export async function removeMember(
  transaction: Transaction,
  conversationId: Buffer,
  user: string,
  counted: boolean,
): Promise<void> {
  const key = [conversationId, Buffer.from(user)];
  await transaction.write('DELETE FROM pending WHERE conversation_id = ? AND user_name = ?', key);
  await transaction.write('DELETE FROM member WHERE conversation_id = ? AND user_name = ?', key);
  await transaction.write(
    `UPDATE conversation SET
       incomplete = CASE kind WHEN ${KIND.pair} THEN 1 ELSE incomplete END,
       member_count = CASE kind WHEN ${KIND.group} THEN member_count - ? ELSE member_count END
     WHERE conversation_id = ?`,
    [counted ? 1 : 0, conversationId],
  );
}

/**
 * Removes a user's membership of a conversation, unless somebody with the name became a member since:
 * whoever does so holds the conversation's lock, and writes the membership while they hold it.
 */
export function removeMembership(
  database: Database,
  conversationId: Buffer,
  user: string,
): Promise<void> {
  return database.transaction(async (transaction) => {
    const standing = await lockStanding(transaction, conversationId, [user]);
    if (!standing?.members.has(user)) {
      await transaction.writeAhead(
        'DELETE FROM membership WHERE user_name = ? AND conversation_id = ?',
        [Buffer.from(user), conversationId],
      );
    }
    return { value: undefined, commit: true };
  });
}

/**
 * Removes what stands under a user's name alone, and with it the note that they are to be erased; nothing
 * where there is no note any more.
 */
export function endErasure(database: Database, user: string): Promise<void> {
  const name = Buffer.from(user);
  return database.transaction(async (transaction) => {
    const [noted] = await transaction.rows('SELECT 1 FROM erasure WHERE user_name = ? FOR UPDATE', [
      name,
    ]);
    if (!noted) return { value: undefined, commit: false };
    await transaction.write('DELETE FROM profile WHERE user_name = ?', [name]);
    // Memberships that are there are those of somebody who took the name meanwhile.
    const [taken] = await transaction.rows(
      'SELECT 1 FROM membership WHERE user_name = ? LIMIT 1 FOR UPDATE',
      [name],
    );
    if (!taken) await transaction.write('DELETE FROM account WHERE user_name = ?', [name]);
    await transaction.write('DELETE FROM erasure WHERE user_name = ?', [name]);
    return { value: undefined, commit: true };
  });
}
