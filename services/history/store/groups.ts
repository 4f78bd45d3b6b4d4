import type { Database, Session, Table, Value } from './database.ts';
import { raiseRevisions } from './pending.ts';
import type { ConversationRow } from './standing.ts';
import {
  CHANGE_LOG,
  EXPIRY,
  HIDDEN,
  IMPORTED,
  MESSAGE,
  QUIET,
  THREAD,
  TIME_BLOCK,
} from './tables.ts';

/** Writes what a group is, apart from its messages, under its lock. */
export async function writeGroup(
  session: Session,
  conversationId: Buffer,
  group: ConversationRow,
): Promise<void> {
  await session.write(
    `UPDATE conversation SET title = ?, visibility = ?, visible_messages = ?, retention_s = ?,
       created_at_ms = ?, deleted_at_ms = ?, member_count = ?
     WHERE conversation_id = ?`,
    [
      ...[Buffer.from(group.title), group.visibility, group.visibleMessages, group.retentionS],
      ...[group.createdAtMs, group.deletedAtMs, group.memberCount, conversationId],
    ],
  );
}

/**
 * Removes some of what is left of a deleted group: members, whose own revisions rise, and then
 * messages with all that belongs to them, at most `limit` rows (a whole number of few sizes) of each
 * kind. The conversation's row stays, and with it the name. May break off anywhere, and be done again.
 *
 * @returns how many rows there were to look at; 0 once nothing is left
 */
export async function purgeGroup(
  database: Database,
  conversationId: Buffer,
  limit: number,
): Promise<number> {
  const members = await purgeMembers(database, conversationId, limit, '');
  if (members > 0) return members;
  return database.run(async (session) => {
    let rows = 0;
    for (const table of CONTENTS) rows += await purgeRows(session, table, conversationId, limit);
    return rows;
  });
}

/** All that belongs to messages, and them last: what is left alone belongs to messages that are there. */
const CONTENTS = [THREAD, EXPIRY, HIDDEN, QUIET, IMPORTED, TIME_BLOCK, CHANGE_LOG, MESSAGE];

/**
 * Raises the own revisions of up to `limit` members of a deleted group, some hundred, and of former ones,
 * and then removes their rows; but those of `kept`. May break off anywhere, and be done again.
 *
 * @returns how many there were; 0 once none is left
 */
export async function purgeMembers(
  database: Database,
  conversationId: Buffer,
  limit: number,
  kept: string,
): Promise<number> {
  const found = await database.run((session) =>
    session.rows<[Buffer]>(
      `SELECT user_name FROM member WHERE conversation_id = ? AND user_name <> ?
       ORDER BY user_name LIMIT ${limit}`,
      [conversationId, Buffer.from(kept)],
    ),
  );
  const names = found.flat();
  if (names.length === 0) return 0;
  // Whose row is gone is looked for by nobody.
  await raiseRevisions(database, conversationId, names);
  await database.run((session) =>
    session.write('DELETE FROM member WHERE conversation_id = ? AND user_name IN (?)', [
      ...[conversationId, names],
    ]),
  );
  return names.length;
}

/**
 * Deletes rows from the beginning of a conversation's part of a table: those before the last of
 * `limit` rows, as far as one range of the key holds them.
 *
 * @returns how many rows there were to look at
 */
async function purgeRows(
  session: Session,
  { name, key }: Table,
  conversationId: Buffer,
  limit: number,
): Promise<number> {
  const [, ...columns] = key;
  const rows = await session.rows<(Buffer | number)[]>(
    // A hint: MySQL would read some of them by another index, and sort them.
    `SELECT /*+ INDEX(${name} PRIMARY) */ ${columns.join(', ')} FROM ${name} WHERE conversation_id = ?
     ORDER BY ${key.join(', ')} LIMIT ${limit}`,
    [conversationId],
  );
  const [first, last] = [rows[0], rows.at(-1)];
  if (first === undefined || last === undefined) return 0;
  const differing = columns.findIndex((_, index) => !same(first[index]!, last[index]!));
  const shared = differing < 0 ? columns : columns.slice(0, differing);
  const conditions = shared.map((column) => `AND ${column} = ?`);
  const values: Value[] = [conversationId, ...first.slice(0, shared.length)];
  if (differing >= 0) {
    conditions.push(`AND ${columns[differing]} < ?`);
    values.push(last[differing]!);
  }
  await session.write(
    `DELETE FROM ${name} WHERE conversation_id = ? ${conditions.join(' ')}`,
    values,
  );
  return rows.length;
}

function same(a: Buffer | number, b: Buffer | number): boolean {
  return Buffer.isBuffer(a) ? a.equals(b as Buffer) : a === b;
}
