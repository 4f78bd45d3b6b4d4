import type { Database } from '../../../services/history/store/database.ts';
import { TABLES } from '../../../services/history/store/tables.ts';

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

/** Every text and blob that stands anywhere in a database. */
export async function allValues(database: Database): Promise<Uint8Array[]> {
  const values: Uint8Array[] = [];
  for (const { name } of TABLES) {
    const rows = await database.run((session) =>
      session.rows<unknown[]>(`SELECT * FROM ${name}`, []),
    );
    values.push(...rows.flat().filter((value) => value instanceof Uint8Array));
  }
  return values;
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
