import { create } from '@bufbuild/protobuf';
import {
  type EditMessageRequest,
  type EditMessageResponse,
  EditMessageResponseSchema,
} from '../../../clients/gen/backscroll/history/v1/changes_pb.ts';
import { ContentSchema } from '../../../clients/gen/backscroll/history/v1/message_pb.ts';
import type { CallContext } from '../../common/call.ts';
import type { HistoryContext } from '../context.ts';
import { checkAddressOfUser, conversationAt } from '../domain/address.ts';
import { checkContent } from '../domain/content.ts';
import { type Edit, editMessage as edit } from '../domain/edit-message.ts';
import { checkBytes, Faults } from '../domain/faults.ts';
import { MESSAGE_ID_BYTES } from '../limits.ts';
import { checkCaller } from './authorize.ts';

/** Gives a message new content. */
export async function editMessage(
  { database, nowMs }: Pick<HistoryContext, 'database' | 'nowMs'>,
  request: EditMessageRequest,
  { caller, signal }: CallContext,
): Promise<EditMessageResponse> {
  const parsed = parseEdit(request);
  checkCaller(caller, [parsed.user]);
  const { message, revision } = await edit(database, parsed, nowMs(), signal);
  return create(EditMessageResponseSchema, { message, revision: BigInt(revision) });
}

/** @throws ServiceError INVALID_ARGUMENT with all faults */
function parseEdit(request: EditMessageRequest): Edit {
  const { user, message, content = create(ContentSchema), expectedRevision } = request;
  const faults = new Faults();
  checkAddressOfUser(faults, request);
  if (message.case === undefined || message.value === '') {
    faults.add('MISSING_FIELD', 'seq', 'either seq or message_id is required');
  } else if (message.case === 'messageId') {
    checkBytes(faults, () => 'message_id', message.value, MESSAGE_ID_BYTES);
  }
  checkContent(faults, () => 'content', content);
  faults.throwIfAny();
  return {
    user,
    conversation: conversationAt(request),
    target: message.case === 'messageId' ? { id: message.value } : { seq: Number(message.value) },
    content,
    ...(expectedRevision !== undefined && { expectedRevision: Number(expectedRevision) }),
  };
}
