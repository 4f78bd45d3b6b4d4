import type { Database, Session } from './database.ts';
import { changeAndSettle } from './pending.ts';

/** How far a user is in a conversation. */
export interface Marks {
  readonly readSeq: number;
  readonly deliveredSeq: number;
}

/**
 * Raises a user's marks to at least `atLeast`, and gives them as they then stand; without a member row
 * they stay 0. It needs no lock of the conversation: marks only rise, so the order in which devices
 * raise them does not matter. Where nothing rises nothing is written. A read mark that rises is a
 * change for the user alone: it reaches their own revision.
 */
export function raiseMarks(
  database: Database,
  conversationId: Buffer,
  user: string,
  atLeast: Marks,
): Promise<Marks> {
  const key = [conversationId, Buffer.from(user)];
  return changeAndSettle(database, conversationId, async (transaction) => {
    const [row] = await transaction.rows<[number, number]>(
      `SELECT read_seq, delivered_seq FROM member
       WHERE conversation_id = ? AND user_name = ? FOR UPDATE`,
      key,
    );
    if (row === undefined) return { value: NONE };
    const [read, delivered] = row;
    const readSeq = Math.max(read, atLeast.readSeq);
    const deliveredSeq = Math.max(delivered, atLeast.deliveredSeq);
    const value = { readSeq, deliveredSeq };
    if (readSeq === read && deliveredSeq === delivered) return { value };
    await writeMarks(transaction, conversationId, user, value);
    return { value, concerned: readSeq > read ? [user] : [] };
  });
}

/** Sets the marks of a member whose row is locked. */
export function writeMarks(
  session: Session,
  conversationId: Buffer,
  user: string,
  { readSeq, deliveredSeq }: Marks,
): Promise<void> {
  return session.write(
    `UPDATE member SET read_seq = ?, delivered_seq = ?
     WHERE conversation_id = ? AND user_name = ?`,
    [readSeq, deliveredSeq, conversationId, Buffer.from(user)],
  );
}

const NONE: Marks = { readSeq: 0, deliveredSeq: 0 };
