import { READ_ROWS, SWEPT_AT_ONCE } from '../limits.ts';
import type { Database, Transaction } from './database.ts';
import { keyOf } from './model.ts';
import { MESSAGE_COLUMNS, type MessageRow } from './read.ts';
import { lockStanding } from './standing.ts';
import { CHANGE_LOG } from './tables.ts';

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

/**
 * Logs a change of messages as `revision`, which becomes the conversation's. `user`: empty, or who
 * alone notices.
 */
export async function logChange(
  transaction: Transaction,
  conversationId: Buffer,
  revision: number,
  seqs: readonly number[],
  user: string,
  atMs: number,
): Promise<void> {
  const rows = seqs.map((seq) => [conversationId, revision, seq, Buffer.from(user), atMs]);
  await transaction.insert(CHANGE_LOG, rows, 'refuse');
  await transaction.write('UPDATE conversation SET revision = ? WHERE conversation_id = ?', [
    revision,
    conversationId,
  ]);
}

/** Removes former changes of messages, at their revisions, from the log: it holds the latest of each alone. */
export async function forgetFormer(
  transaction: Transaction,
  conversationId: Buffer,
  messages: readonly { readonly seq: number; readonly revision: number }[],
): Promise<void> {
  const byRevision = Map.groupBy(messages, ({ revision }) => revision);
  byRevision.delete(0);
  for (const [revision, changed] of byRevision) {
    await transaction.write(
      'DELETE FROM change_log WHERE conversation_id = ? AND revision = ? AND seq IN (?)',
      [conversationId, revision, changed.map(({ seq }) => seq)],
    );
  }
}

/** Changes of one conversation that its log has kept for long enough. */
export interface OldChanges {
  readonly conversationId: Buffer;
  /** Ascending, each once. */
  readonly revisions: readonly number[];
}

/** The oldest `SWEPT_AT_ONCE` entries of all logs, as far as they are from before `beforeMs`. */
export async function findOldChanges(database: Database, beforeMs: number): Promise<OldChanges[]> {
  const rows = await database.run((session) =>
    session.rows<[Buffer, number]>(
      `SELECT conversation_id, revision FROM change_log WHERE at_ms < ?
       ORDER BY at_ms LIMIT ${SWEPT_AT_ONCE}`,
      [beforeMs],
    ),
  );
  const byConversation = Map.groupBy(rows, ([id]) => keyOf(id));
  return [...byConversation.values()].map((found) => ({
    conversationId: found[0]![0],
    revisions: [...new Set(found.map(([, revision]) => revision))].sort((a, b) => a - b),
  }));
}

/** Forgets changes, and tells in the same transaction that the log no longer reaches back to them. */
export function forgetChanges(
  database: Database,
  { conversationId, revisions }: OldChanges,
): Promise<void> {
  return database.transaction(async (transaction) => {
    const standing = await lockStanding(transaction, conversationId, []);
    const last = revisions.at(-1)!;
    if (standing !== undefined && standing.conversation.logRevision < last) {
      const sql = 'UPDATE conversation SET log_revision = ? WHERE conversation_id = ?';
      await transaction.write(sql, [last, conversationId]);
    }
    await transaction.write(
      'DELETE FROM change_log WHERE conversation_id = ? AND revision IN (?)',
      [conversationId, revisions],
    );
    return { value: undefined, commit: true };
  });
}
