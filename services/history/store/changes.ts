import { READ_ROWS } from '../limits.ts';
import type { Database } from './database.ts';
import { MESSAGE_COLUMNS, type MessageRow } from './read.ts';

/** One entry of a conversation's log of changes. */
export interface LoggedChange {
  readonly revision: number;
  readonly seq: number;
  /** Empty, or who hid the message. */
  readonly user: string;
  /** As it stands; absent where it was hidden, or is gone. */
  readonly message?: MessageRow;
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
      session.rows<[number, number, Buffer, ...(MessageRow | [null])]>(
        `SELECT change_log.revision, change_log.seq, change_log.user_name, ${MESSAGE_COLUMNS}
         FROM change_log LEFT JOIN message
           ON message.conversation_id = change_log.conversation_id
             AND message.seq = change_log.seq AND change_log.user_name = ?
         WHERE change_log.conversation_id = ? AND change_log.revision BETWEEN ? AND ?
           AND change_log.seq > CASE change_log.revision WHEN ? THEN ? ELSE 0 END
         ORDER BY change_log.revision, change_log.seq LIMIT ${READ_ROWS}`,
        [NOBODY, conversationId, behind.revision, toRevision, behind.revision, behind.seq],
      ),
    signal,
  );
  return rows.map(([revision, seq, user, ...message]) => ({
    revision,
    seq,
    user: user.toString(),
    ...(message[0] !== null && { message: message as MessageRow }),
  }));
}

const NOBODY = Buffer.alloc(0);
