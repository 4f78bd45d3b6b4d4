import { randomUUIDv7 } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import {
  type AppendRequest,
  type AppendResponse,
  AppendResponseSchema,
} from '../../../clients/gen/backscroll/history/v1/history_pb.ts';
import type { CallContext, Caller } from '../../common/call.ts';
import type { HistoryContext } from '../context.ts';
import { checkAddress, conversationAt } from '../domain/address.ts';
import { checkMost, checkTogether, Faults } from '../domain/faults.ts';
import { bytesOf, checkMessage, checkSizes, encodeMessages, sentAt } from '../domain/message.ts';
import { APPEND_BYTES, APPEND_MESSAGES } from '../limits.ts';
import type { Conversation, NewMessage, Rules } from '../store/model.ts';
import { checkCaller } from './authorize.ts';
import { refusalError } from './refusal.ts';

/** Stores messages at the end of one conversation. */
export async function append(
  { appends, nowMs }: Pick<HistoryContext, 'appends' | 'nowMs'>,
  request: AppendRequest,
  { caller }: CallContext,
): Promise<AppendResponse> {
  const { conversation, messages } = parseAppend(request, BigInt(nowMs()));
  checkCaller(caller, [request.user]);
  for (const { sender } of messages) checkCaller(caller, [sender]);
  const outcome = await appends.append(conversation, messages, sendersOf(conversation, caller));
  if (outcome.refused) throw refusalError(caller, 'messages', outcome.refused);
  return create(AppendResponseSchema, {
    messages: outcome.placed.map(({ seq, sentAtMs, repeated }, index) => ({
      seq: BigInt(seq),
      id: messages[index]!.id,
      sentAtMs,
      repeated,
    })),
  });
}

/** Whose messages a conversation takes: a pair's senders were checked with the request. */
function sendersOf({ kind }: Conversation, caller: Caller): Rules['senders'] {
  if (kind === 'pair') return 'any';
  return caller.kind === 'service' ? 'join' : 'members';
}

/** @throws ServiceError INVALID_ARGUMENT with all faults */
function parseAppend(
  request: AppendRequest,
  nowMs: bigint,
): { conversation: Conversation; messages: NewMessage[] } {
  const faults = new Faults();
  checkAddress(faults, '', request);
  checkMessages(faults, request, nowMs);
  faults.throwIfAny();

  const { user } = request;
  const conversation = conversationAt(request);
  const given = request.messages.map((message) => ({
    ...message,
    id: message.id || randomUUIDv7(),
    sender: message.sender || user,
  }));
  const messages = encodeMessages(given, conversation).map((message) =>
    message.sentAtMs === 0n ? sentAt(message, nowMs) : message,
  );
  checkSizes(faults, (index) => `messages[${index}]`, messages);
  checkTogether(faults, () => 'messages', bytesOf(messages), APPEND_BYTES);
  faults.throwIfAny();
  return { conversation, messages };
}

function checkMessages(faults: Faults, request: AppendRequest, nowMs: bigint): void {
  const { user, conversation, messages } = request;
  if (messages.length === 0) faults.add('MISSING_FIELD', 'messages', 'is required');
  checkMost(faults, () => 'messages', messages.length, APPEND_MESSAGES);
  if (messages.length > APPEND_MESSAGES) return;
  for (const [index, message] of messages.entries()) {
    const at = () => `messages[${index}]`;
    checkMessage(faults, at, message);
    const { expiresAtMs } = message;
    if (expiresAtMs > 0n && expiresAtMs <= nowMs) {
      faults.add('INVALID_FIELD', `${at()}.expires_at_ms`, 'has passed');
    }
    const sender = message.sender || user;
    if (conversation.case === 'group' && sender === '') {
      faults.add('MISSING_FIELD', `${at()}.sender`, 'is required where the request has no user');
    }
    if (conversation.case === 'peer' && sender !== user && sender !== conversation.value) {
      faults.add('INVALID_FIELD', `${at()}.sender`, 'must be one of the two');
    }
  }
}
