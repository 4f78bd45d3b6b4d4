import { READ_ROWS } from '../limits.ts';
import type { Database } from './database.ts';

/** One entry of a conversation's log of changes. */
export interface LoggedChange {
  readonly revision: number;
  readonly seq: number;
  /** Empty, or who hid the message. */
  readonly user: string;
}

/**
 * The first `READ_ROWS` entries behind one, up to a revision, in the order of revisions and seqs;
 * fewer means that there are no more.
 */
export async function readLog(
  database: Database,
  conversationId: Buffer,
  behind: Pick<LoggedChange, 'revision' | 'seq'>,
  toRevision: number,
  signal: AbortSignal,
): Promise<LoggedChange[]> {
  const rows = await database.run(
    (session) =>
      // The key is the order: what was read of the first revision is passed over, and no more.
      session.rows<[number, number, Buffer]>(
        `SELECT revision, seq, user_name FROM change_log
         WHERE conversation_id = ? AND revision BETWEEN ? AND ?
           AND seq > CASE revision WHEN ? THEN ? ELSE 0 END
         ORDER BY revision, seq LIMIT ${READ_ROWS}`,
        [conversationId, behind.revision, toRevision, behind.revision, behind.seq],
      ),
    signal,
  );
  return rows.map(([revision, seq, user]) => ({ revision, seq, user: user.toString() }));
}
