import type { Session } from './database.ts';
import type { Closed } from './intervals.ts';

/** What stands beside a message's body. */
export interface MessageHead {
  readonly seq: number;
  readonly id: string;
  /** Empty for unknown. */
  readonly sender: string;
  readonly sentAtMs: bigint;
  readonly contentHash: Buffer;
  readonly kinds: number;
  /** 0 for never, as in the two that follow. */
  readonly editedAtMs: number;
  readonly deletedAtMs: number;
  readonly revision: number;
}

/** The heads of those of `seqs` that have a message, ascending. */
export async function readHeads(
  session: Session,
  conversationId: Buffer,
  seqs: readonly number[],
): Promise<MessageHead[]> {
  if (seqs.length === 0) return [];
  const rows = await session.rows<HeadColumns>(
    `SELECT seq, message_id, sender, CAST(sent_at_ms AS CHAR), content_hash, kinds,
       edited_at_ms, deleted_at_ms, revision
     FROM message WHERE conversation_id = ? AND seq IN (?)`,
    [conversationId, seqs],
  );
  return rows.map(headOf).sort((a, b) => a.seq - b.seq);
}

type HeadColumns = [number, Buffer, Buffer, string, Buffer, number, number, number, number];

function headOf(columns: HeadColumns): MessageHead {
  const [seq, id, sender, sentAtMs, contentHash, kinds, editedAtMs, deletedAtMs, revision] =
    columns;
  return {
    seq,
    id: id.toString(),
    sender: sender.toString(),
    sentAtMs: BigInt(sentAtMs),
    contentHash,
    kinds,
    editedAtMs,
    deletedAtMs,
    revision,
  };
}

/** Who sent what stands from seq to seq, tombstones left out. The caller keeps the range short. */
export async function readSenders(
  session: Session,
  conversationId: Buffer,
  { from, to }: Closed,
): Promise<{ seq: number; sender: string }[]> {
  const rows = await session.rows<[number, Buffer]>(
    `SELECT seq, sender FROM message
     WHERE conversation_id = ? AND seq BETWEEN ? AND ? AND deleted_at_ms = 0`,
    [conversationId, from, to],
  );
  return rows.map(([seq, sender]) => ({ seq, sender: sender.toString() }));
}
