import { randomUUIDv7 } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import {
  type AppendRequest,
  type AppendResponse,
  AppendResponseSchema,
} from '../../../clients/gen/backscroll/history/v1/history_pb.ts';
import type { CallContext } from '../../common/call.ts';
import { checkAddress, conversationAt } from '../domain/address.ts';
import { idConflict } from '../domain/conflict.ts';
import { Faults } from '../domain/faults.ts';
import type { JoinedAppends } from '../domain/joined-appends.ts';
import { bytesOf, checkMessage, checkSizes, encodeMessages, sentAt } from '../domain/message.ts';
import { checkMember, viewOf } from '../domain/view.ts';
import { APPEND_BYTES, APPEND_MESSAGES } from '../limits.ts';
import type { Database } from '../store/database.ts';
import type { Conversation, NewMessage } from '../store/model.ts';
import { checkCaller } from './authorize.ts';

/** What appending works with. */
export interface AppendParts {
  readonly database: Database;
  readonly appends: JoinedAppends;
  /** The service's clock, in milliseconds since 1970. */
  readonly nowMs: () => number;
}

/** Stores messages at the end of one conversation. */
export async function append(
  { database, appends, nowMs }: AppendParts,
  request: AppendRequest,
  { caller, signal }: CallContext,
): Promise<AppendResponse> {
  const { conversation, messages } = parseAppend(request, BigInt(nowMs()));
  if (caller.kind === 'user') {
    checkCaller(caller, [request.user]);
    for (const { sender } of messages) checkCaller(caller, [sender]);
    if (conversation.kind === 'group') {
      checkMember(await viewOf(database, conversation, caller.user, signal));
    }
  }
  const sendersJoin = caller.kind === 'service' && conversation.kind === 'group';
  const outcome = await appends.append(conversation, messages, sendersJoin);
  if (outcome.conflictAt !== undefined) throw idConflict(`messages[${outcome.conflictAt}]`);
  return create(AppendResponseSchema, {
    messages: outcome.placed.map(({ seq, sentAtMs, repeated }, index) => ({
      seq: BigInt(seq),
      id: messages[index]!.id,
      sentAtMs,
      repeated,
    })),
  });
}

/** @throws ServiceError INVALID_ARGUMENT with all faults */
function parseAppend(
  request: AppendRequest,
  nowMs: bigint,
): { conversation: Conversation; messages: NewMessage[] } {
  const faults = new Faults();
  checkAddress(faults, '', request);
  checkMessages(faults, request);
  faults.throwIfAny();

  const { user } = request;
  const given = request.messages.map((message) => ({
    ...message,
    id: message.id || randomUUIDv7(),
    sender: message.sender || user,
  }));
  const messages = encodeMessages(given).map((message) =>
    message.sentAtMs === 0n ? sentAt(message, nowMs) : message,
  );
  checkSizes(faults, (index) => `messages[${index}]`, messages);
  if (bytesOf(messages) > APPEND_BYTES) {
    faults.add('TOO_LARGE', 'messages', `must be at most ${APPEND_BYTES} bytes together`);
  }
  faults.throwIfAny();
  return { conversation: conversationAt(request), messages };
}

function checkMessages(faults: Faults, request: AppendRequest): void {
  const { user, conversation, messages } = request;
  if (messages.length === 0) faults.add('MISSING_FIELD', 'messages', 'is required');
  if (messages.length > APPEND_MESSAGES) {
    faults.add('TOO_LARGE', 'messages', `must be at most ${APPEND_MESSAGES}`);
    return;
  }
  for (const [index, message] of messages.entries()) {
    const at = () => `messages[${index}]`;
    checkMessage(faults, at, message);
    const sender = message.sender || user;
    if (conversation.case === 'group' && sender === '') {
      faults.add('MISSING_FIELD', `${at()}.sender`, 'is required where the request has no user');
    }
    if (conversation.case === 'peer' && sender !== user && sender !== conversation.value) {
      faults.add('INVALID_FIELD', `${at()}.sender`, 'must be one of the two');
    }
  }
}
