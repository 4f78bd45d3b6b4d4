import { SWEPT_AT_ONCE } from '../limits.ts';
import type { Database, Transaction } from '../store/database.ts';
import {
  endErasure,
  isNoted,
  nextErasure,
  noteErasure,
  readSent,
  removeHidden,
  removeMember,
  removeMembership,
} from '../store/erasure.ts';
import { expiriesOf } from '../store/excluded.ts';
import { readHeads } from '../store/heads.ts';
import { MEMBERSHIPS, readMemberships } from '../store/inbox.ts';
import { BEFORE_ALL } from '../store/model.ts';
import { rewrite } from '../store/rewrite.ts';
import { lockStanding, type MemberRow, ROLE, readStanding } from '../store/standing.ts';
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
  yield* eraseNoted(database, user, nowMs);
}

/** Does what the note asks for; ends as soon as somebody else who does so has ended, and the name is free. */
async function* eraseNoted(
  database: Database,
  user: string,
  nowMs: number,
): AsyncGenerator<Erased> {
  let behind: Buffer = BEFORE_ALL;
  for (;;) {
    const memberships = await database.run((session) => readMemberships(session, user, behind));
    for (const { conversationId } of memberships) {
      if (!(yield* eraseIn(database, conversationId, user, nowMs))) return;
      behind = conversationId;
    }
    if (memberships.length < MEMBERSHIPS) break;
  }
  await endErasure(database, user);
}

/** Goes on with erasures that broke off; yields how many messages went after each step. */
export async function* eraseLeftOver(database: Database, nowMs: number): AsyncGenerator<number> {
  let user: string | undefined = '';
  for (;;) {
    user = await nextErasure(database, user);
    if (user === undefined) return;
    for await (const { messages } of eraseNoted(database, user, nowMs)) yield messages;
  }
}

/** Erases a user in one conversation; false where the erasure has ended meanwhile. */
async function* eraseIn(
  database: Database,
  conversationId: Buffer,
  user: string,
  nowMs: number,
): AsyncGenerator<Erased, boolean> {
  // Read before the note is looked at: who joined under the name after the end is not in it.
  const before = await readStanding(database, conversationId, [user]);
  if (!(await database.run((session) => isNoted(session, user)))) return false;
  if (before === undefined) {
    await removeMembership(database, conversationId, user);
    return true;
  }
  const { conversation, members } = before;
  const reach = { from: conversation.floorSeq, to: conversation.lastSeq };
  for (let from = reach.from; from <= reach.to; from += SWEPT_AT_ONCE) {
    const range = { from, to: from + SWEPT_AT_ONCE - 1 };
    const theirs = await database.run((session) => readSent(session, conversationId, user, range));
    yield await eraseMessages(database, conversationId, user, theirs, nowMs);
  }
  while (await database.run((session) => removeHidden(session, conversationId, user))) {
    yield { messages: 0, conversations: 0 };
  }
  // Most often once: what was added since is little.
  for (let from = reach.to + 1, left = false; !left; from += SWEPT_AT_ONCE) {
    const step = await leave(database, conversationId, members.get(user), user, from, nowMs);
    if (step === undefined) return yield* eraseIn(database, conversationId, user, nowMs);
    ({ left } = step);
    yield step;
  }
  await removeMembership(database, conversationId, user);
  return true;
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

interface Leaving extends Erased {
  /** Else the next `SWEPT_AT_ONCE` messages are to be looked at first. */
  readonly left: boolean;
}

/**
 * Erases the user's messages among the first `SWEPT_AT_ONCE` from a seq on, and takes the user out of
 * the conversation where it ends there: nobody adds to it meanwhile. Undefined where they are another
 * member than `before`: somebody joined under the name, and may be somebody else.
 */
function leave(
  database: Database,
  conversationId: Buffer,
  before: MemberRow | undefined,
  user: string,
  fromSeq: number,
  nowMs: number,
): Promise<Leaving | undefined> {
  return database.transaction<Leaving | undefined>(async (transaction) => {
    const standing = await lockStanding(transaction, conversationId, [user]);
    const { lastSeq, revision } = standing!.conversation;
    const member = standing!.members.get(user);
    if (member?.epoch !== before?.epoch || member?.joinedAtMs !== before?.joinedAtMs) {
      return { value: undefined, commit: false };
    }
    const range = { from: fromSeq, to: fromSeq + SWEPT_AT_ONCE - 1 };
    const theirs = await readSent(transaction, conversationId, user, range);
    const erasing = { conversationId, user, revision: revision + 1, nowMs };
    const messages = await bury(transaction, erasing, theirs);
    if (lastSeq > range.to) {
      return { value: { messages, conversations: 0, left: false }, commit: true };
    }
    while (await removeHidden(transaction, conversationId, user));
    const counted = member !== undefined && member.role !== ROLE.former;
    await removeMember(transaction, conversationId, user, counted);
    return { value: { messages, conversations: member ? 1 : 0, left: true }, commit: true };
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
  return theirs.length;
}
