import { logChange } from './change-log.ts';
import type { Transaction } from './database.ts';
import { HIDDEN } from './tables.ts';

/**
 * Hides messages from a user by a change that makes `revision` of a conversation that the transaction
 * has locked. `seqs`: such as the user has not hidden.
 */
export async function hide(
  transaction: Transaction,
  conversationId: Buffer,
  user: string,
  revision: number,
  seqs: readonly number[],
  atMs: number,
): Promise<void> {
  const name = Buffer.from(user);
  const rows = seqs.map((seq) => [conversationId, name, seq]);
  await transaction.insert(HIDDEN, rows, 'keep');
  await transaction.write(
    'UPDATE member SET hides = 1 WHERE conversation_id = ? AND user_name = ?',
    [conversationId, name],
  );
  await logChange(transaction, conversationId, revision, seqs, user, atMs);
}

/** Hides everything up to a seq from a user, for whom less was hidden so. */
export async function hideUpTo(
  transaction: Transaction,
  conversationId: Buffer,
  user: string,
  upToSeq: number,
): Promise<void> {
  await transaction.write(
    'UPDATE member SET hidden_up_to_seq = ? WHERE conversation_id = ? AND user_name = ?',
    [upToSeq, conversationId, Buffer.from(user)],
  );
}
