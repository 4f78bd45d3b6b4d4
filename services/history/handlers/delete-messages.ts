import { create } from '@bufbuild/protobuf';
import {
  type DeleteMessagesRequest,
  type DeleteMessagesResponse,
  DeleteMessagesResponseSchema,
  DeleteScope,
} from '../../../clients/gen/backscroll/history/v1/changes_pb.ts';
import type { CallContext } from '../../common/call.ts';
import { checkAddress, conversationAt } from '../domain/address.ts';
import {
  type Deleted,
  deleteForEveryone,
  deleteForEveryoneUpTo,
} from '../domain/delete-messages.ts';
import { Faults } from '../domain/faults.ts';
import { deleteForUser, deleteForUserUpTo } from '../domain/hide-messages.ts';
import { checkName } from '../domain/names.ts';
import { DELETE_SEQS } from '../limits.ts';
import { checkCaller } from './authorize.ts';
import type { ChangesParts } from './changes.ts';

/** Deletes messages, for their user or for everyone. */
export async function deleteMessages(
  parts: ChangesParts,
  request: DeleteMessagesRequest,
  { caller, signal }: CallContext,
): Promise<DeleteMessagesResponse> {
  checkRequest(request);
  checkCaller(caller, [request.user]);
  const { deleted, revision } = await carryOut(parts, request, signal);
  return create(DeleteMessagesResponseSchema, {
    deleted: BigInt(deleted),
    revision: BigInt(revision),
  });
}

function carryOut(
  { database, nowMs }: ChangesParts,
  request: DeleteMessagesRequest,
  signal: AbortSignal,
): Promise<Deleted> {
  const { user, scope } = request;
  const deleter = { user, conversation: conversationAt(request) };
  const forAll = scope === DeleteScope.FOR_EVERYONE;
  if (request.upToSeq > 0n) {
    const upToSeq = Number(request.upToSeq);
    return forAll
      ? deleteForEveryoneUpTo(database, deleter, upToSeq, nowMs(), signal)
      : deleteForUserUpTo(database, deleter, upToSeq);
  }
  const seqs = [...new Set(request.seqs.map(Number))].sort((a, b) => a - b);
  return forAll
    ? deleteForEveryone(database, deleter, seqs, nowMs(), signal)
    : deleteForUser(database, deleter, seqs, nowMs());
}

/** @throws ServiceError INVALID_ARGUMENT with all faults */
function checkRequest(request: DeleteMessagesRequest): void {
  const { user, conversation, scope, seqs, upToSeq } = request;
  const faults = new Faults();
  checkAddress(faults, '', request);
  if (scope === DeleteScope.UNSPECIFIED) {
    faults.add('MISSING_FIELD', 'scope', 'is required');
  } else if (!SCOPES.has(scope)) {
    faults.add('INVALID_FIELD', 'scope', 'is no value that is known here');
  } else if (scope === DeleteScope.FOR_ME && user === '' && conversation.case !== 'peer') {
    checkName(faults, () => 'user', user);
  }
  if (seqs.length === 0 && upToSeq === 0n) {
    faults.add('MISSING_FIELD', 'seqs', 'either seqs or up_to_seq is required');
  } else if (seqs.length > 0 && upToSeq > 0n) {
    faults.add('INVALID_FIELD', 'up_to_seq', 'must not stand beside seqs');
  } else if (seqs.length > DELETE_SEQS) {
    faults.add('TOO_LARGE', 'seqs', `must be at most ${DELETE_SEQS}`);
  }
  faults.throwIfAny();
}

const SCOPES: ReadonlySet<number> = new Set(Object.values(DeleteScope));
