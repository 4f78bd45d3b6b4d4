import { DELETED_AT_ONCE, READ_ROWS } from '../limits.ts';
import type { Database, Transaction } from '../store/database.ts';
import { expiriesOf } from '../store/excluded.ts';
import { type MessageHead, readHeads, readSenders } from '../store/heads.ts';
import { clip } from '../store/intervals.ts';
import { ANY_CONTENT } from '../store/model.ts';
import { type Rewritten, rewrite } from '../store/rewrite.ts';
import { ROLE } from '../store/standing.ts';
import type { Actor } from './conversation.ts';
import { notTheSender } from './errors.ts';
import { seenAmong } from './seen.ts';
import { encodeStored } from './stored-message.ts';
import { lockView, type View, viewOf } from './view.ts';

/** What was deleted. */
export interface Deleted {
  readonly deleted: number;
  /** Of the conversation, afterwards. */
  readonly revision: number;
}

/**
 * Deletes messages for everyone: those of `seqs` that the user sees; a service may delete all. Many are deleted in more than one
 * transaction; when the signal fires, between two of them, a repeat goes on.
 *
 * @throws ServiceError NOT_A_MEMBER, GROUP_NOT_FOUND; NOT_THE_SENDER where the user may not delete
 *   one of them, and nothing was deleted
 */
export function deleteForEveryone(
  database: Database,
  actor: Actor,
  seqs: readonly number[],
  nowMs: number,
  signal: AbortSignal,
): Promise<Deleted> {
  return bury(database, actor, seqs, 'all', nowMs, signal);
}

/** As `deleteForEveryone`, all that the user sees and may delete up to a seq; of what they may not nothing is said. */
export async function deleteForEveryoneUpTo(
  database: Database,
  actor: Actor,
  upToSeq: number,
  nowMs: number,
  signal: AbortSignal,
): Promise<Deleted> {
  const view = await viewOf(database, actor.conversation, actor.user, signal);
  let deleted = 0;
  let revision = view.revision;
  let found: number[] = [];
  const buryFound = async () => {
    const buried = await bury(database, actor, found, 'own', nowMs, signal);
    deleted += buried.deleted;
    revision = buried.revision;
    found = [];
  };
  for (const range of pieces(view, upToSeq)) {
    const senders = await database.run(
      (session) => readSenders(session, actor.conversation.id, range),
      signal,
    );
    found.push(...senders.filter(({ sender }) => mayDelete(view, sender)).map(({ seq }) => seq));
    if (found.length >= DELETED_AT_ONCE) await buryFound();
  }
  if (found.length > 0) await buryFound();
  return { deleted, revision };
}

/** The seqs in view up to one, in ranges that are short enough to be read at once. */
function* pieces(view: View, upToSeq: number) {
  for (const { from, to } of clip(view.intervals, 1, upToSeq)) {
    for (let first = from; first <= to; first += READ_ROWS) {
      yield { from: first, to: Math.min(to, first + READ_ROWS - 1) };
    }
  }
}

function mayDelete({ user, role }: View, sender: string): boolean {
  return user === '' || sender === user || role >= ROLE.moderator;
}

/** Deletes messages: all, or nothing where one is not the user's to delete; or their own alone. */
async function bury(
  database: Database,
  actor: Actor,
  seqs: readonly number[],
  which: 'all' | 'own',
  nowMs: number,
  signal: AbortSignal,
): Promise<Deleted> {
  let { deleted, revision, left } = await buryFirst(database, actor, seqs, which, nowMs);
  while (left.length > 0) {
    signal.throwIfAborted();
    const more = await buryFirst(database, actor, left, 'own', nowMs);
    deleted += more.deleted;
    ({ revision, left } = more);
  }
  return { deleted, revision };
}

/** Deletes the first of `seqs`, and tells which are left. */
function buryFirst(
  database: Database,
  { conversation, user }: Actor,
  seqs: readonly number[],
  which: 'all' | 'own',
  nowMs: number,
): Promise<Deleted & { left: number[] }> {
  return database.transaction(async (transaction) => {
    const view = await lockView(transaction, conversation, user);
    const seen = await seenAmong(transaction, view, seqs, nowMs);
    const heads = await readHeads(transaction, conversation.id, seen);
    const own = heads.filter(({ sender }) => mayDelete(view, sender));
    if (which === 'all' && own.length < heads.length) throw notTheSender();
    const standing = own.filter(({ deletedAtMs }) => deletedAtMs === 0);
    const first = standing.slice(0, DELETED_AT_ONCE);
    const left = standing.slice(DELETED_AT_ONCE).map(({ seq }) => seq);
    if (first.length === 0) {
      return { value: { deleted: 0, revision: view.revision, left }, commit: false };
    }
    const revision = view.revision + 1;
    const tombstones = await tombstonesOf(transaction, view, first, nowMs);
    await rewrite(transaction, conversation.id, revision, tombstones, nowMs);
    return { value: { deleted: first.length, revision, left }, commit: true };
  });
}

async function tombstonesOf(
  transaction: Transaction,
  { conversation, expiring }: View,
  heads: readonly MessageHead[],
  nowMs: number,
): Promise<Rewritten[]> {
  const seqs = heads.map(({ seq }) => seq);
  const expiries = expiring
    ? await expiriesOf(transaction, conversation.id, seqs)
    : new Map<number, bigint>();
  return heads.map((head) => tombstoneOf(head, expiries.get(head.seq) ?? 0n, nowMs));
}

/** What a message becomes that is deleted for everyone: nothing is left of its content, not even the hash. */
export function tombstoneOf(head: MessageHead, expiresAtMs: bigint, nowMs: number): Rewritten {
  return {
    ...head,
    contentHash: ANY_CONTENT,
    kinds: 0,
    deletedAtMs: nowMs,
    body: encodeStored({ ...head, expiresAtMs }),
    thread: '',
    isQuiet: true,
  };
}
