import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  type ConversationSchema,
  type ListConversationsRequest,
  type ListConversationsResponse,
  ListConversationsResponseSchema,
  MemberState,
} from '../../../clients/gen/backscroll/history/v1/inbox_pb.ts';
import type { CallContext } from '../../common/call.ts';
import type { HistoryContext } from '../context.ts';
import { checkName, Faults } from '../domain/faults.ts';
import { type InboxQuery, readInbox } from '../domain/inbox.ts';
import type { InboxEntry, Shown } from '../domain/inbox-entries.ts';
import { readProgress, writeProgress } from '../domain/inbox-token.ts';
import { marksTold } from '../domain/marks.ts';
import { decodeStored } from '../domain/stored-message.ts';
import { INBOX_PAGE_DEFAULT, INBOX_PAGE_MAX } from '../limits.ts';
import type { Conversation } from '../store/model.ts';
import { ROLE } from '../store/standing.ts';
import { checkCaller } from './authorize.ts';

/** Answers with a page of a user's inbox. */
export async function listConversations(
  { database, nowMs }: Pick<HistoryContext, 'database' | 'nowMs'>,
  request: ListConversationsRequest,
  { caller, signal }: CallContext,
): Promise<ListConversationsResponse> {
  const query = parseList(request);
  checkCaller(caller, [query.user]);
  const { entries, revision, next } = await readInbox(database, query, nowMs(), signal);
  return create(ListConversationsResponseSchema, {
    conversations: entries.map((entry) => conversationTold(entry, query.user)),
    nextPageToken: next ? writeProgress(next, scopeOf(request)) : '',
    userRevision: BigInt(revision),
  });
}

/** @throws ServiceError INVALID_ARGUMENT with all faults */
function parseList(request: ListConversationsRequest): InboxQuery {
  const { user, pageSize, pageToken, sinceUserRevision } = request;
  const faults = new Faults();
  checkName(faults, () => 'user', user);
  const progress = pageToken === '' ? undefined : readProgress(pageToken, scopeOf(request));
  if (pageToken !== '' && progress === undefined) {
    faults.add('INVALID_FIELD', 'page_token', 'is none that was given for these fields');
  }
  faults.throwIfAny();
  return {
    user,
    count: Math.min(pageSize || INBOX_PAGE_DEFAULT, INBOX_PAGE_MAX),
    since: sinceUserRevision === undefined ? undefined : Number(sinceUserRevision),
    progress,
  };
}

function scopeOf({ user, sinceUserRevision }: ListConversationsRequest) {
  return { user, since: sinceUserRevision };
}

function conversationTold(
  { conversation, revision, shown }: InboxEntry,
  user: string,
): MessageInitShape<typeof ConversationSchema> {
  const named = {
    conversation: addressOf(conversation, user),
    userRevision: BigInt(revision),
  };
  if (shown === undefined) return { ...named, state: MemberState.GONE };
  const { view, title, unread, lastMessage } = shown;
  return {
    ...named,
    title,
    ...(lastMessage && { lastMessage: decodeStored(lastMessage) }),
    unreadCount: unread,
    ...(view.marks && { marks: marksTold(view.marks) }),
    ...(view.peerMarks && { peerMarks: marksTold(view.peerMarks) }),
    lastSeq: BigInt(view.lastSeq),
    floorSeq: BigInt(view.floorSeq),
    revision: BigInt(view.revision),
    epoch: BigInt(view.epoch),
    state: stateOf(shown),
  };
}

function addressOf({ kind, names: [a = '', b = ''] }: Conversation, user: string) {
  if (kind === 'group') return { case: 'group', value: a } as const;
  return { case: 'peer', value: a === user ? b : a } as const;
}

function stateOf({ view }: Shown): MemberState {
  if (view.conversation.kind === 'pair') return MemberState.UNSPECIFIED;
  return view.role === ROLE.former ? MemberState.FORMER : MemberState.MEMBER;
}
