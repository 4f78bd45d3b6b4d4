import { forgetFormer, logChange } from './change-log.ts';
import type { Table, Transaction } from './database.ts';
import type { MessageHead } from './heads.ts';
import { MESSAGE, QUIET, THREAD } from './tables.ts';

/** What a message becomes, also what stays as it was; its `revision` is that of its former change. */
export interface Rewritten extends MessageHead {
  readonly body: Buffer;
  /** Empty outside threads. */
  readonly thread: string;
  /** It is unread for nobody. */
  readonly isQuiet: boolean;
}

/** A message row with what changes later. */
const WHOLE_MESSAGE: Table = {
  ...MESSAGE,
  columns: [...MESSAGE.columns, 'edited_at_ms', 'deleted_at_ms', 'revision'],
};

/**
 * Writes what messages become by one change, which makes `revision` of a conversation that the
 * transaction has locked.
 */
export async function rewrite(
  transaction: Transaction,
  conversationId: Buffer,
  revision: number,
  messages: readonly Rewritten[],
  atMs: number,
): Promise<void> {
  // All are there: as an upsert, any number of them is one statement.
  const rows = messages.map((message) => [
    ...[conversationId, message.seq, Buffer.from(message.id), Buffer.from(message.sender)],
    ...[message.sentAtMs, message.contentHash, message.body, message.kinds],
    ...[message.editedAtMs, message.deletedAtMs, revision],
  ]);
  await transaction.insert(WHOLE_MESSAGE, rows, {
    sender: 'replace',
    content_hash: 'replace',
    body: 'replace',
    kinds: 'replace',
    edited_at_ms: 'replace',
    deleted_at_ms: 'replace',
    revision: 'replace',
  });
  await rewriteSideRows(transaction, conversationId, messages);
  await forgetFormer(transaction, conversationId, messages);
  const seqs = messages.map(({ seq }) => seq);
  await logChange(transaction, conversationId, revision, seqs, '', atMs);
}

async function rewriteSideRows(
  transaction: Transaction,
  conversationId: Buffer,
  messages: readonly Rewritten[],
): Promise<void> {
  const seqs = messages.map(({ seq }) => seq);
  await leaveThreads(transaction, conversationId, seqs);
  const threads = messages
    .filter(({ thread }) => thread !== '')
    .map(({ thread, kinds, seq }) => [conversationId, Buffer.from(thread), kinds, seq]);
  await transaction.insert(THREAD, threads, 'refuse');

  const loud = messages.filter(({ isQuiet }) => !isQuiet).map(({ seq }) => seq);
  if (loud.length > 0) {
    await transaction.write('DELETE FROM quiet WHERE conversation_id = ? AND seq IN (?)', [
      conversationId,
      loud,
    ]);
  }
  const quiet = messages.filter(({ isQuiet }) => isQuiet).map(({ seq }) => [conversationId, seq]);
  await transaction.insert(QUIET, quiet, 'keep');
}

/** Takes messages out of their threads. */
export async function leaveThreads(
  transaction: Transaction,
  conversationId: Buffer,
  seqs: readonly number[],
): Promise<void> {
  await transaction.write('DELETE FROM thread WHERE conversation_id = ? AND seq IN (?)', [
    ...[conversationId, seqs],
  ]);
}
