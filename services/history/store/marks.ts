import type { Database, Ending, Session } from './database.ts';
import { notePending, type Pending, settlePending } from './pending.ts';

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
export async function raiseMarks(
  database: Database,
  conversationId: Buffer,
  user: string,
  atLeast: Marks,
): Promise<Marks> {
  const { marks, pending } = await database.transaction((session) =>
    raiseIn(session, conversationId, user, atLeast),
  );
  if (pending) await settlePending(database, pending);
  return marks;
}

async function raiseIn(
  session: Session,
  conversationId: Buffer,
  user: string,
  atLeast: Marks,
): Promise<Ending<{ marks: Marks; pending?: Pending }>> {
  const key = [conversationId, Buffer.from(user)];
  const [row] = await session.rows<[number, number]>(
    `SELECT read_seq, delivered_seq FROM member
     WHERE conversation_id = ? AND user_name = ? FOR UPDATE`,
    key,
  );
  if (row === undefined) return { value: { marks: NONE }, commit: false };
  const [read, delivered] = row;
  const readSeq = Math.max(read, atLeast.readSeq);
  const deliveredSeq = Math.max(delivered, atLeast.deliveredSeq);
  const marks = { readSeq, deliveredSeq };
  if (readSeq === read && deliveredSeq === delivered) return { value: { marks }, commit: false };
  await session.write(
    `UPDATE member SET read_seq = ?, delivered_seq = ?
     WHERE conversation_id = ? AND user_name = ?`,
    [readSeq, deliveredSeq, ...key],
  );
  if (readSeq === read) return { value: { marks }, commit: true };
  const pending = await notePending(session, conversationId, [user]);
  return { value: { marks, pending }, commit: true };
}

const NONE: Marks = { readSeq: 0, deliveredSeq: 0 };
