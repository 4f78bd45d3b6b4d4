import { group } from '../../../services/history/domain/conversation.ts';
import type { Database, Value } from '../../../services/history/store/database.ts';
import { type Conversation, KIND, nameColumns } from '../../../services/history/store/model.ts';
import { LEASE, TABLES } from '../../../services/history/store/tables.ts';

/** Rows of a table that belong to a conversation, all columns. */
export function rowsOf(
  database: Database,
  table: string,
  conversationId: Buffer,
): Promise<unknown[][]> {
  return database.run((session) =>
    session.rows<unknown[]>(`SELECT * FROM ${table} WHERE conversation_id = ?`, [conversationId]),
  );
}

/** All rows of all tables, in the order of their keys; but for who sweeps. */
export async function allRows(database: Database): Promise<Record<string, unknown[][]>> {
  const tables: Record<string, unknown[][]> = {};
  for (const { name, key } of TABLES.filter((table) => table !== LEASE)) {
    tables[name] = await database.run((session) =>
      session.rows<unknown[]>(`SELECT * FROM ${name} ORDER BY ${key.join(', ')}`, []),
    );
  }
  return tables;
}

/** Names of the tables in which a text stands, wherever in a value. */
export async function tablesWith(database: Database, text: string): Promise<string[]> {
  const holds = (rows: unknown[][]) =>
    rows.flat().some((value) => value instanceof Uint8Array && Buffer.from(value).includes(text));
  const tables = Object.entries(await allRows(database));
  return tables.filter(([, rows]) => holds(rows)).map(([name]) => name);
}

/** Sets columns of a member row, such as `role = 0`. */
export function setMember(
  database: Database,
  conversationId: Buffer,
  user: string,
  settings: string,
): Promise<void> {
  return database.run((session) =>
    session.write(`UPDATE member SET ${settings} WHERE conversation_id = ? AND user_name = ?`, [
      conversationId,
      Buffer.from(user),
    ]),
  );
}

/** Columns of a row, the others as the schema has them. */
export type Row = Readonly<Record<string, Value>>;

/** Inserts rows as they are, all with the columns of the first. */
export function addRows(database: Database, name: string, rows: readonly Row[]): Promise<void> {
  const columns = Object.keys(rows[0] ?? {});
  const values = rows.map((row) => columns.map((column) => row[column]!));
  return database.run((session) =>
    session.insert({ name, columns, key: columns }, values, 'refuse'),
  );
}

/** Conversations that have `lastSeq` messages by their rows alone: none of them is stored. */
export function addConversations(
  database: Database,
  conversations: readonly Conversation[],
  lastSeq: number,
  others: Row = {},
): Promise<void> {
  const rows = conversations.map((conversation): Row => {
    const [name_a, name_b] = nameColumns(conversation);
    return {
      ...{ conversation_id: conversation.id, kind: KIND[conversation.kind], name_a, name_b },
      ...{ last_seq: lastSeq, floor_seq: 1, revision: 0, last_sent_at_ms: lastSeq },
      ...others,
    };
  });
  return addRows(database, 'conversation', rows);
}

/** A user in conversations, by both rows of each. */
export async function addMember(
  database: Database,
  conversations: readonly Conversation[],
  user: string,
  others: Row = {},
): Promise<void> {
  const keys = conversations.map(({ id }) => ({
    user_name: Buffer.from(user),
    conversation_id: id,
  }));
  await addRows(database, 'membership', keys);
  const rows = keys.map((key) => ({ ...key, ...others }));
  await addRows(database, 'member', rows);
}

/** A group that a user is in, with `lastSeq` messages, by its rows alone. */
export async function addRoom(
  database: Database,
  user: string,
  name: string,
  lastSeq: number,
  others: { readonly conversation?: Row; readonly member?: Row } = {},
): Promise<void> {
  await addConversations(database, [group(name)], lastSeq, others.conversation);
  await addMember(database, [group(name)], user, others.member);
}
