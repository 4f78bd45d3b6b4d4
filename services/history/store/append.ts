import { writeSenders } from './append-members.ts';
import {
  type Change,
  type Fresh,
  idsOf,
  type Known,
  type Places,
  placeBatches,
  sendersOf,
  type Terms,
} from './append-places.ts';
import { writeSideRows } from './append-side-rows.ts';
import { type Database, DuplicateKey, type Transaction } from './database.ts';
import { expiredOf } from './excluded.ts';
import {
  ANY_CONTENT,
  type Batch,
  type Conversation,
  type Outcome,
  type Refusal,
  type Rules,
} from './model.ts';
import { type Changed, changeAndSettle } from './pending.ts';
import { isMember, lockOrBegin, lockStanding, type Standing } from './standing.ts';
import { MESSAGE } from './tables.ts';

/** Databases whose last append brought messages that were stored before: those seldom come alone. */
const expectRepeats = new WeakSet<Database>();

/**
 * Stores each batch at the end of the conversation, in the order given, in one transaction that is
 * durable when this returns; the outcomes stand in the order of the batches. Seqs are 1, 2, 3, …
 * without holes, whoever writes at the same time. A message whose id is known with the same
 * `contentHash` is a repeat: it keeps its place.
 *
 * The conversation begins with its first message, and a pair's two users are its members from then
 * on. A message raises its sender's own marks.
 *
 * A transaction whose outcome was lost is done again: its messages then count as repeated.
 */
export function append(
  database: Database,
  conversation: Conversation,
  batches: readonly Batch[],
  rules: Rules,
): Promise<Outcome[]> {
  return changeAndSettle(database, conversation.id, (transaction) =>
    appendIn(transaction, { database, conversation, batches, rules }),
  );
}

/** What one call of `append` was given. */
interface Asked {
  readonly database: Database;
  readonly conversation: Conversation;
  readonly batches: readonly Batch[];
  readonly rules: Rules;
}

async function appendIn(transaction: Transaction, asked: Asked): Promise<Changed<Outcome[]>> {
  const { conversation, batches, rules } = asked;
  const standing = await lock(transaction, asked);
  const nowMs = rules.nowMs();
  if (standing === undefined) return refuseAll(batches, { why: 'notMember', index: 0 });
  const { conversation: before, members } = standing;
  if (before.deletedAtMs > 0) return refuseAll(batches, { why: 'groupDeleted' });
  const terms = termsOf(asked, standing, nowMs);
  const expiredAtMs = before.expiring ? nowMs : undefined;
  const { outcomes, fresh } = await insertFresh(transaction, asked, terms, expiredAtMs);
  if (fresh.length === 0) return { value: outcomes };

  const change = { conversation, before, members, fresh, imported: !!rules.imported, nowMs };
  const joins = conversation.kind === 'group' && rules.senders === 'join';
  const newcomers = await writeSenders(transaction, change, joins);
  await writeSideRows(transaction, change);
  await update(transaction, change, newcomers.length);
  return { value: outcomes, concerned: newcomers };
}

function refuseAll(batches: readonly Batch[], refused: Refusal): Changed<Outcome[]> {
  return { value: batches.map(() => ({ refused })) };
}

/** Locks the conversation until the transaction ends, and makes it where it is not there and may be made. */
async function lock(
  transaction: Transaction,
  { conversation, batches, rules }: Asked,
): Promise<Standing | undefined> {
  const isGroup = conversation.kind === 'group';
  const users = isGroup ? sendersOf(batches.flat()) : conversation.names;
  return isGroup && rules.senders === 'members'
    ? lockStanding(transaction, conversation.id, users)
    : lockOrBegin(transaction, conversation, users);
}

function termsOf(
  { conversation, rules: { senders, imported } }: Asked,
  { conversation: { lastSeq, createdAtMs, retentionS }, members }: Standing,
  nowMs: number,
): Terms {
  const membersOnly =
    senders === 'members' || (senders === 'join' && createdAtMs > 0 && imported === undefined);
  const retentionMs = retentionS * 1000 || (imported?.retentionMs ?? 0);
  const oldestMs = retentionMs === 0 ? Number.NEGATIVE_INFINITY : nowMs - retentionMs;
  return {
    lastSeq,
    mayWrite: (sender) =>
      conversation.kind === 'pair' || !membersOnly || isMember(members.get(sender)),
    skips: ({ sentAtMs, expiresAtMs }) =>
      imported !== undefined && (sentAtMs < oldestMs || (expiresAtMs > 0n && expiresAtMs <= nowMs)),
  };
}

/**
 * Inserts what is new. Mostly all is: so ids are looked up only where the unique key refused one,
 * or where repeats are expected.
 */
async function insertFresh(
  transaction: Transaction,
  { database, conversation, batches }: Asked,
  terms: Terms,
  expiredAtMs: number | undefined,
): Promise<Places> {
  if (terms.lastSeq === 0 || !expectRepeats.has(database)) {
    const places = placeBatches(batches, new Map(), terms);
    try {
      await insert(transaction, conversation, places.fresh);
      return places;
    } catch (error) {
      if (!(error instanceof DuplicateKey)) throw error;
    }
  }
  const known = await findKnown(transaction, conversation, batches, expiredAtMs);
  if (known.size > 0) expectRepeats.add(database);
  else expectRepeats.delete(database);
  const places = placeBatches(batches, known, terms);
  await insert(transaction, conversation, places.fresh);
  return places;
}

/**
 * What is stored under the ids of `batches`. What has expired by `expiredAtMs` (undefined where nothing
 * does) counts as removed, whether a sweep came by or not.
 */
async function findKnown(
  transaction: Transaction,
  conversation: Conversation,
  batches: readonly Batch[],
  expiredAtMs: number | undefined,
): Promise<Map<string, Known>> {
  const rows = await transaction.rows<[Buffer, number, Buffer, string, Buffer]>(
    `SELECT message_id, seq, sender, CAST(sent_at_ms AS CHAR), content_hash FROM message
     WHERE conversation_id = ? AND message_id IN (?)`,
    [conversation.id, idsOf(batches).map((id) => Buffer.from(id))],
  );
  const seqs = rows.map(([, seq]) => seq);
  const expired =
    expiredAtMs === undefined
      ? new Set()
      : await expiredOf(transaction, conversation.id, seqs, expiredAtMs);
  return new Map(
    rows.map(([id, seq, sender, sentAtMs, hash]) => {
      const contentHash = expired.has(seq) ? ANY_CONTENT : hash;
      const known = { seq, sender: sender.toString(), sentAtMs: BigInt(sentAtMs), contentHash };
      return [id.toString(), known];
    }),
  );
}

async function insert(
  transaction: Transaction,
  conversation: Conversation,
  fresh: readonly Fresh[],
): Promise<void> {
  const rows = fresh.map(({ seq, message }) => [
    ...[conversation.id, seq, Buffer.from(message.id), Buffer.from(message.sender)],
    ...[message.sentAtMs, message.contentHash, message.body, message.kinds],
  ]);
  await transaction.insert(MESSAGE, rows, 'refuse');
}

async function update(
  transaction: Transaction,
  { conversation, before, fresh, imported, nowMs }: Change,
  newcomers: number,
): Promise<void> {
  const last = fresh.at(-1)!;
  const run = before.importedFromSeq || fresh[0]!.seq;
  const joined = conversation.kind === 'group' ? newcomers : 0;
  const expires = before.expiring || fresh.some(({ message }) => message.expiresAtMs > 0n);
  await transaction.write(
    `UPDATE conversation SET last_seq = ?, last_sent_at_ms = ?, appended_at_ms = ?,
       imported_from_seq = ?, expiring = ?, member_count = ?, incomplete = 0
     WHERE conversation_id = ?`,
    [
      ...[last.seq, last.message.sentAtMs, nowMs, imported ? run : 0, expires ? 1 : 0],
      ...[before.memberCount + joined, conversation.id],
    ],
  );
}
