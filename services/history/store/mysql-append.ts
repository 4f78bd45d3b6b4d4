/** The statements of one append, each in the transaction of its session. */
import type { Session, Value } from './mysql-database.ts';
import { type Fresh, idsOf, type Known } from './settle.ts';
import { type Batch, type Conversation, KIND, nameColumns } from './store.ts';

/** Locks the conversation until the transaction ends, and makes it where it is not there. */
export async function lock(
  session: Session,
  conversation: Conversation,
): Promise<{ lastSeq: number; begins: boolean }> {
  const select = () =>
    session.execute<[number]>(
      'SELECT last_seq FROM conversation WHERE conversation_id = ? FOR UPDATE',
      [conversation.id],
    );
  let [row] = await select();
  if (row === undefined) {
    // Another writer may do the same: then this waits for its commit, and finds its row.
    await session.execute(
      `INSERT INTO conversation
       (conversation_id, kind, name_a, name_b, last_seq, floor_seq, revision, last_sent_at_ms)
       VALUES (?, ?, ?, ?, 0, 1, 0, 0) ON DUPLICATE KEY UPDATE kind = VALUES(kind)`,
      [conversation.id, KIND[conversation.kind], ...nameColumns(conversation)],
    );
    [row] = await select();
  }
  const [lastSeq] = row!;
  return { lastSeq, begins: lastSeq === 0 };
}

/** What is stored under the ids of `batches`. */
export async function find(
  session: Session,
  conversation: Conversation,
  batches: readonly Batch[],
): Promise<Map<string, Known>> {
  const rows = await session.query<[Buffer, number, number | string, Buffer]>(
    `SELECT message_id, seq, sent_at_ms, content_hash FROM message
     WHERE conversation_id = ? AND message_id IN (?)`,
    [conversation.id, idsOf(batches).map((id) => Buffer.from(id))],
  );
  return new Map(
    rows.map(([id, seq, sentAtMs, contentHash]) => [
      id.toString(),
      { seq, sentAtMs: BigInt(sentAtMs), contentHash },
    ]),
  );
}

/** Inserts what has its place: all, or nothing where the unique key refuses one. */
export async function insert(
  session: Session,
  conversation: Conversation,
  fresh: readonly Fresh[],
): Promise<void> {
  if (fresh.length === 0) return;
  await session.query(
    `INSERT INTO message
     (conversation_id, seq, message_id, sender, sent_at_ms, content_hash, body) VALUES ?`,
    [fresh.map((entry) => columnsOf(conversation, entry))],
  );
}

function columnsOf(conversation: Conversation, { seq, message }: Fresh): Value[] {
  const { id, sender, sentAtMs, contentHash, body } = message;
  return [conversation.id, seq, Buffer.from(id), Buffer.from(sender), sentAtMs, contentHash, body];
}

/** Moves the conversation's end to its last message. */
export async function advance(
  session: Session,
  conversation: Conversation,
  last: Fresh,
): Promise<void> {
  await session.execute(
    'UPDATE conversation SET last_seq = ?, last_sent_at_ms = ? WHERE conversation_id = ?',
    [last.seq, last.message.sentAtMs, conversation.id],
  );
}
