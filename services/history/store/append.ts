import {
  type Database,
  DuplicateKey,
  type Ending,
  type Transaction,
  type Value,
} from './database.ts';
import { type Batch, type Conversation, KIND, nameColumns, type Outcome } from './model.ts';
import { type Fresh, idsOf, type Known, type Settled, sendersOf, settle } from './settle.ts';
import { CONVERSATION, MEMBER, MEMBERSHIP, MESSAGE } from './tables.ts';

/** Databases whose last append brought messages that were stored before: those seldom come alone. */
const expectRepeats = new WeakSet<Database>();

/**
 * Stores each batch at the end of the conversation, in the order given, in one transaction that is
 * durable when this returns; the outcomes stand in the order of the batches. Seqs are 1, 2, 3, …
 * without holes, whoever writes at the same time. A message whose id is known with the same
 * `contentHash` is a repeat: it keeps its place.
 *
 * The conversation begins with its first message, and a pair's two users are its members from then
 * on. With `sendersJoin` the senders of messages that were added become members, too, from seq 1;
 * members stay as they are.
 *
 * A transaction whose outcome was lost is done again: its messages then count as repeated.
 */
export function append(
  database: Database,
  conversation: Conversation,
  batches: readonly Batch[],
  sendersJoin: boolean,
): Promise<Outcome[]> {
  return database.transaction((transaction) =>
    appendIn(transaction, conversation, batches, sendersJoin, database),
  );
}

async function appendIn(
  transaction: Transaction,
  conversation: Conversation,
  batches: readonly Batch[],
  sendersJoin: boolean,
  database: Database,
): Promise<Ending<Outcome[]>> {
  const senders = sendersJoin ? sendersOf(batches.flat()) : [];
  const { lastSeq, members } = await lock(transaction, conversation, senders);
  const { outcomes, fresh } = await place(transaction, conversation, batches, lastSeq, database);
  const last = fresh.at(-1);
  if (last === undefined) return { value: outcomes, commit: false };

  const joining = sendersJoin ? sendersOf(fresh.map(({ message }) => message)) : [];
  if (lastSeq === 0 && conversation.kind === 'pair') joining.push(...conversation.names);
  const newcomers = joining.filter((user) => !members.has(user));
  await join(transaction, conversation, [...new Set(newcomers)]);
  await transaction.write(
    'UPDATE conversation SET last_seq = ?, last_sent_at_ms = ? WHERE conversation_id = ?',
    [last.seq, last.message.sentAtMs, conversation.id],
  );
  return { value: outcomes, commit: true };
}

interface Locked {
  readonly lastSeq: number;
  /** Those of the users asked for who are members. */
  readonly members: Set<string>;
}

/** Locks the conversation until the transaction ends, and makes it where it is not there. */
async function lock(
  transaction: Transaction,
  conversation: Conversation,
  users: readonly string[],
): Promise<Locked> {
  const found = await find(transaction, conversation, users);
  if (found) return found;
  // Another writer may do the same: then this waits for its commit, and finds its row.
  const row = [conversation.id, KIND[conversation.kind], ...nameColumns(conversation), 0, 1, 0, 0];
  await transaction.insert(CONVERSATION, [row], 'keep');
  return (await find(transaction, conversation, users))!;
}

async function find(
  transaction: Transaction,
  { id }: Conversation,
  users: readonly string[],
): Promise<Locked | undefined> {
  const rows =
    users.length === 0
      ? await transaction.rows<[number, null]>(
          'SELECT last_seq, NULL FROM conversation WHERE conversation_id = ? FOR UPDATE',
          [id],
        )
      : await transaction.rows<[number, Buffer | null]>(
          `SELECT last_seq, user_name FROM conversation
           LEFT JOIN member
             ON member.conversation_id = conversation.conversation_id AND user_name IN (?)
           WHERE conversation.conversation_id = ? FOR UPDATE`,
          [users.map((user) => Buffer.from(user)), id],
        );
  const [first] = rows;
  if (first === undefined) return undefined;
  const names = rows.flatMap(([, name]) => (name === null ? [] : [name.toString()]));
  return { lastSeq: first[0], members: new Set(names) };
}

/**
 * Inserts what is new. Mostly all is: so ids are looked up only where the unique key refused one,
 * or where repeats are expected.
 */
async function place(
  transaction: Transaction,
  conversation: Conversation,
  batches: readonly Batch[],
  lastSeq: number,
  database: Database,
): Promise<Settled> {
  if (lastSeq === 0 || !expectRepeats.has(database)) {
    const settled = settle(batches, new Map(), lastSeq);
    try {
      await insert(transaction, conversation, settled.fresh);
      return settled;
    } catch (error) {
      if (!(error instanceof DuplicateKey)) throw error;
    }
  }
  const known = await findKnown(transaction, conversation, batches);
  if (known.size > 0) expectRepeats.add(database);
  else expectRepeats.delete(database);
  const settled = settle(batches, known, lastSeq);
  await insert(transaction, conversation, settled.fresh);
  return settled;
}

/** What is stored under the ids of `batches`. */
async function findKnown(
  transaction: Transaction,
  conversation: Conversation,
  batches: readonly Batch[],
): Promise<Map<string, Known>> {
  const rows = await transaction.rows<[Buffer, number, string, Buffer]>(
    `SELECT message_id, seq, CAST(sent_at_ms AS CHAR), content_hash FROM message
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

async function insert(
  transaction: Transaction,
  conversation: Conversation,
  fresh: readonly Fresh[],
): Promise<void> {
  const rows = fresh.map(({ seq, message }): Value[] => {
    const { id, sender, sentAtMs, contentHash, body } = message;
    const [idBytes, senderBytes] = [Buffer.from(id), Buffer.from(sender)];
    return [conversation.id, seq, idBytes, senderBytes, sentAtMs, contentHash, body];
  });
  await transaction.insert(MESSAGE, rows, 'refuse');
}

/**
 * Makes users members from seq 1. Their memberships stand in other shards, and go ahead: one that ends
 * up without its member row does no harm.
 */
async function join(
  transaction: Transaction,
  { id }: Conversation,
  users: readonly string[],
): Promise<void> {
  const names = users.map((user) => Buffer.from(user)).sort(Buffer.compare);
  if (names.length === 0) return;
  await transaction.insertAhead(
    MEMBERSHIP,
    names.map((name) => [name, id, 0]),
    'keep',
  );
  await transaction.insert(
    MEMBER,
    names.map((name) => [id, name, 1]),
    'keep',
  );
}
