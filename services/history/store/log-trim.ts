import { SWEPT_AT_ONCE } from '../limits.ts';
import type { Database } from './database.ts';
import { keyOf } from './model.ts';
import { lockStanding } from './standing.ts';

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
