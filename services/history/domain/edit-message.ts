import type { Content, Message } from '../../../clients/gen/backscroll/history/v1/message_pb.ts';
import { aborted, failedPrecondition, invalidArgument } from '../../common/errors.ts';
import { MESSAGE_BYTES } from '../limits.ts';
import { seqOfId } from '../store/anchors.ts';
import type { Database, Transaction } from '../store/database.ts';
import { type MessageHead, readHeads } from '../store/heads.ts';
import { ANY_CONTENT } from '../store/model.ts';
import { readWhole } from '../store/read.ts';
import { rewrite } from '../store/rewrite.ts';
import type { Actor } from './conversation.ts';
import { messageNotFound, notTheSender } from './errors.ts';
import { isQuiet, kindsOf } from './kinds.ts';
import { seenAmong } from './seen.ts';
import { decodeStored, encodeStored, sameContent } from './stored-message.ts';
import { checkMember, lockView, type View } from './view.ts';

/** New content for a message, checked but for the size of the whole. */
export interface Edit extends Actor {
  readonly target: { readonly seq: number } | { readonly id: string };
  readonly content: Content;
  /** Edit only what stands at this revision; absent for any. */
  readonly expectedRevision?: number;
}

/** What came of an edit. */
export interface Edited {
  readonly message: Message;
  /** Of the conversation. */
  readonly revision: number;
}

/**
 * Gives a message new content; what says that already stays as it is.
 *
 * @throws ServiceError NOT_A_MEMBER, MESSAGE_NOT_FOUND, NOT_THE_SENDER, MESSAGE_DELETED,
 *   REVISION_MISMATCH, TOO_LARGE
 */
export async function editMessage(
  database: Database,
  edit: Edit,
  nowMs: number,
  signal: AbortSignal,
): Promise<Edited> {
  const { conversation, user, target } = edit;
  // An id keeps its seq: it need not be looked up under the lock.
  const seq =
    'seq' in target ? target.seq : await seqOfId(database, conversation.id, target.id, signal);
  return database.transaction(async (transaction) => {
    const view = await lockView(transaction, conversation, user);
    checkMember(view);
    const found = await find(transaction, view, seq, nowMs);
    if (!changes(found, edit)) {
      return { value: { message: found.message, revision: view.revision }, commit: false };
    }
    const revision = view.revision + 1;
    const message = await write(transaction, found, edit, revision, nowMs);
    return { value: { message, revision }, commit: true };
  });
}

interface Found {
  readonly head: MessageHead;
  /** As readers get it now. */
  readonly message: Message;
}

async function find(
  transaction: Transaction,
  view: View,
  seq: number | undefined,
  nowMs: number,
): Promise<Found> {
  const { id } = view.conversation;
  const seen = seq === undefined ? [] : await seenAmong(transaction, view, [seq], nowMs);
  const [head] = await readHeads(transaction, id, seen);
  if (head === undefined) throw messageNotFound();
  const stored = await readWhole(transaction, id, seen);
  return { head, message: decodeStored(stored.get(head.seq)!) };
}

/** Whether an edit that is allowed changes anything. */
function changes({ head, message }: Found, { user, content, expectedRevision }: Edit): boolean {
  if (head.sender !== user) throw notTheSender();
  if (message.content === undefined) {
    throw failedPrecondition('MESSAGE_DELETED', 'The message was deleted for everyone.');
  }
  // A repeat also expects the revision that the first call found.
  if (sameContent(message.content, content)) return false;
  if (expectedRevision !== undefined && expectedRevision !== head.revision) {
    const metadata = { revision: String(head.revision) };
    throw aborted('REVISION_MISMATCH', 'The message changed meanwhile.', { metadata });
  }
  return true;
}

async function write(
  transaction: Transaction,
  { head, message }: Found,
  { conversation, content }: Edit,
  revision: number,
  nowMs: number,
): Promise<Message> {
  const body = encodeStored({ ...message, content });
  if (body.length > MESSAGE_BYTES) {
    const description = `the message must be at most ${MESSAGE_BYTES} bytes, encoded`;
    throw invalidArgument('TOO_LARGE', 'content', description);
  }
  const kinds = kindsOf(conversation, head.sender, content);
  const { thread } = content;
  const written = { body, contentHash: ANY_CONTENT, kinds, thread, isQuiet: isQuiet(kinds) };
  const edited = { ...head, ...written, editedAtMs: nowMs };
  await rewrite(transaction, conversation.id, revision, [edited], nowMs);
  return decodeStored({ ...edited, revision });
}
