import type { Change, Fresh } from './append-places.ts';
import type { Transaction, Value } from './database.ts';
import { BLOCK_SEQS, EXPIRY, IMPORTED, QUIET, THREAD, TIME_BLOCK } from './tables.ts';

/** Writes the rows of the side tables that come with messages: for most messages none. */
export async function writeSideRows(transaction: Transaction, change: Change): Promise<void> {
  const { conversation, fresh } = change;
  const { threads, quiet, expiries } = rowsOf(conversation.id, fresh);
  if (threads.length > 0) await transaction.insert(THREAD, threads, 'refuse');
  if (quiet.length > 0) await transaction.insert(QUIET, quiet, 'refuse');
  if (expiries.length > 0) await transaction.insert(EXPIRY, expiries, 'refuse');
  if (change.imported) await writeRun(transaction, change);
  await writeTimeBlocks(transaction, change);
}

function rowsOf(id: Buffer, fresh: readonly Fresh[]) {
  const threads: Value[][] = [];
  const quiet: Value[][] = [];
  const expiries: Value[][] = [];
  for (const { seq, message } of fresh) {
    const { thread, kinds, isQuiet, expiresAtMs } = message;
    if (thread !== '') threads.push([id, Buffer.from(thread), kinds, seq]);
    if (isQuiet) quiet.push([id, seq]);
    if (expiresAtMs > 0n) expiries.push([id, seq, expiresAtMs, 0]);
  }
  return { threads, quiet, expiries };
}

/** Imported messages that follow imported ones make their run longer. */
async function writeRun(
  transaction: Transaction,
  { conversation, before, fresh }: Change,
): Promise<void> {
  const fromSeq = before.importedFromSeq || fresh[0]!.seq;
  const row = [conversation.id, fromSeq, fresh.at(-1)!.seq];
  await transaction.insert(IMPORTED, [row], { to_seq: 'raise' });
}

/** Writes the highest time of each block that is full now and was not before. */
async function writeTimeBlocks(
  transaction: Transaction,
  { conversation: { id }, before: { lastSeq }, fresh }: Change,
): Promise<void> {
  const fromBlock = Math.floor(lastSeq / BLOCK_SEQS);
  const toBlock = Math.floor((lastSeq + fresh.length) / BLOCK_SEQS);
  if (fromBlock === toBlock) return;
  const highest: bigint[] = [];
  const raise = (block: number, timeMs: bigint) => {
    const at = block - fromBlock;
    if (highest[at] === undefined || highest[at] < timeMs) highest[at] = timeMs;
  };
  const firstSeq = fromBlock * BLOCK_SEQS + 1;
  if (firstSeq <= lastSeq) {
    const [row] = await transaction.rows<[string | null]>(
      `SELECT CAST(MAX(sent_at_ms) AS CHAR) FROM message
       WHERE conversation_id = ? AND seq BETWEEN ? AND ?`,
      [id, firstSeq, lastSeq],
    );
    const stood = row?.[0];
    if (stood != null) raise(fromBlock, BigInt(stood));
  }
  for (const { seq, message } of fresh) {
    raise(Math.floor((seq - 1) / BLOCK_SEQS), message.sentAtMs);
  }
  const rows = highest
    .slice(0, toBlock - fromBlock)
    .map((timeMs, n) => [id, fromBlock + n, timeMs]);
  await transaction.insert(TIME_BLOCK, rows, 'refuse');
}
