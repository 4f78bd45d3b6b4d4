import { SWEPT_AT_ONCE } from '../limits.ts';
import type { Database, Transaction } from '../store/database.ts';
import {
  clearSenders,
  endErasure,
  nextErasure,
  noteErasure,
  readMemberships,
  removeHidden,
  removeMember,
  removeMembership,
  scanSent,
} from '../store/erasure.ts';
import { expiriesOf, readHeads } from '../store/heads.ts';
import { BEFORE_ALL } from '../store/retention.ts';
import { rewrite } from '../store/rewrite.ts';
import { lockStanding, ROLE } from '../store/standing.ts';
import { tombstoneOf } from './delete-messages.ts';

/** What one step of an erasure removed. */
export interface Erased {
  readonly messages: number;
  /** Conversations that the user was taken out of. */
  readonly conversations: number;
}

/**
 * Erases a user, step by step, each a transaction or a look at some hundred messages: messages become
 * tombstones without a sender, and memberships, marks, what was hidden and the profile go. Whoever
 * stops in the midst leaves a note, and `eraseLeftOver` goes on. What comes under the name meanwhile
 * is somebody else's, and goes or stays.
 */
export async function* eraseUser(
  database: Database,
  user: string,
  nowMs: number,
): AsyncGenerator<Erased> {
  await noteErasure(database, user, nowMs);
  let behind: Buffer = BEFORE_ALL;
  for (;;) {
    const conversations = await readMemberships(database, user, behind);
    for (const id of conversations) yield* eraseIn(database, id, user, nowMs);
    const last = conversations.at(-1);
    if (last === undefined || conversations.length < SWEPT_AT_ONCE) break;
    behind = last;
  }
  await endErasure(database, user);
}

/** Goes on with erasures that broke off; yields how many messages went after each step. */
export async function* eraseLeftOver(database: Database, nowMs: number): AsyncGenerator<number> {
  let user: string | undefined = '';
  for (;;) {
    user = await nextErasure(database, user);
    if (user === undefined) return;
    for await (const { messages } of eraseUser(database, user, nowMs)) yield messages;
  }
}

async function* eraseIn(
  database: Database,
  conversationId: Buffer,
  user: string,
  nowMs: number,
): AsyncGenerator<Erased> {
  let behindSeq = 0;
  for (;;) {
    const { theirs, next } = await database.run((session) =>
      scanSent(session, conversationId, user, behindSeq),
    );
    yield await eraseMessages(database, conversationId, user, theirs, nowMs);
    if (next === undefined) break;
    behindSeq = next;
  }
  while (await database.run((session) => removeHidden(session, conversationId, user))) {
    yield { messages: 0, conversations: 0 };
  }
  // Most often once: the lock keeps out whoever writes on.
  for (;;) {
    const { step, next } = await leave(database, conversationId, user, behindSeq, nowMs);
    yield step;
    if (next === undefined) break;
    behindSeq = next;
  }
  await removeMembership(database, conversationId, user);
}

async function eraseMessages(
  database: Database,
  conversationId: Buffer,
  user: string,
  seqs: readonly number[],
  nowMs: number,
): Promise<Erased> {
  if (seqs.length === 0) return { messages: 0, conversations: 0 };
  return database.transaction(async (transaction) => {
    const standing = await lockStanding(transaction, conversationId, []);
    const { revision } = standing!.conversation;
    const erasing = { conversationId, user, revision: revision + 1, nowMs };
    const messages = await bury(transaction, erasing, seqs);
    return { value: { messages, conversations: 0 }, commit: messages > 0 };
  });
}

interface Left {
  readonly step: Erased;
  /** Behind which seq to go on; absent where the user is out. */
  readonly next?: number;
}

/** Takes a user out of a conversation, once nothing of theirs is left in it behind a seq. */
function leave(
  database: Database,
  conversationId: Buffer,
  user: string,
  behindSeq: number,
  nowMs: number,
): Promise<Left> {
  return database.transaction<Left>(async (transaction) => {
    const standing = await lockStanding(transaction, conversationId, [user]);
    if (standing === undefined) {
      return { value: { step: { messages: 0, conversations: 0 } }, commit: false };
    }
    const { theirs, next } = await scanSent(transaction, conversationId, user, behindSeq);
    const erasing = { conversationId, user, revision: standing.conversation.revision + 1, nowMs };
    const messages = await bury(transaction, erasing, theirs);
    if (next !== undefined) {
      return { value: { step: { messages, conversations: 0 }, next }, commit: true };
    }
    while (await removeHidden(transaction, conversationId, user));
    const member = standing.members.get(user);
    const counted = member !== undefined && member.role !== ROLE.former;
    await removeMember(transaction, conversationId, user, counted);
    return { value: { step: { messages, conversations: member ? 1 : 0 } }, commit: true };
  });
}

interface Erasing {
  readonly conversationId: Buffer;
  readonly user: string;
  /** What the conversation's becomes by it. */
  readonly revision: number;
  readonly nowMs: number;
}

/** Makes those of `seqs` that the user sent tombstones without a sender; those that are tombstones lose it. */
async function bury(
  transaction: Transaction,
  { conversationId, user, revision, nowMs }: Erasing,
  seqs: readonly number[],
): Promise<number> {
  const heads = await readHeads(transaction, conversationId, seqs);
  const theirs = heads.filter(({ sender }) => sender === user);
  if (theirs.length === 0) return 0;
  const expiries = await expiriesOf(transaction, conversationId, seqs);
  const tombstones = theirs.map((head) => ({
    ...tombstoneOf({ ...head, sender: '' }, expiries.get(head.seq) ?? 0n, nowMs),
    deletedAtMs: head.deletedAtMs || nowMs,
  }));
  await rewrite(transaction, conversationId, revision, tombstones, nowMs);
  const buried = theirs.map(({ seq }) => seq);
  await clearSenders(transaction, conversationId, buried);
  return buried.length;
}
