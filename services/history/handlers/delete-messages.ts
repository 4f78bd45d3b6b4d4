import { create } from '@bufbuild/protobuf';
import {
  type DeleteMessagesRequest,
  type DeleteMessagesResponse,
  DeleteMessagesResponseSchema,
  DeleteScope,
} from '../../../clients/gen/backscroll/history/v1/changes_pb.ts';
import type { CallContext } from '../../common/call.ts';
import type { HistoryContext } from '../context.ts';
import { checkAddress, checkAddressOfUser, conversationAt } from '../domain/address.ts';
import {
  type Deleted,
  deleteForEveryone,
  deleteForEveryoneUpTo,
} from '../domain/delete-messages.ts';
import { checkEnum, checkMost, Faults } from '../domain/faults.ts';
import { deleteForUser, deleteForUserUpTo } from '../domain/hide-messages.ts';
import { DELETE_SEQS } from '../limits.ts';
import { checkCaller } from './authorize.ts';

type Parts = Pick<HistoryContext, 'database' | 'nowMs'>;

/** Deletes messages, for their user or for everyone. */
export async function deleteMessages(
  parts: Parts,
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
  { database, nowMs }: Parts,
  request: DeleteMessagesRequest,
  signal: AbortSignal,
): Promise<Deleted> {
  const { user, scope } = request;
  const actor = { user, conversation: conversationAt(request) };
  const forAll = scope === DeleteScope.FOR_EVERYONE;
  if (request.upToSeq > 0n) {
    const upToSeq = Number(request.upToSeq);
    return forAll
      ? deleteForEveryoneUpTo(database, actor, upToSeq, nowMs(), signal)
      : deleteForUserUpTo(database, actor, upToSeq);
  }
  const seqs = [...new Set(request.seqs.map(Number))].sort((a, b) => a - b);
  return forAll
    ? deleteForEveryone(database, actor, seqs, nowMs(), signal)
    : deleteForUser(database, actor, seqs, nowMs());
}

/** @throws ServiceError INVALID_ARGUMENT with all faults */
function checkRequest(request: DeleteMessagesRequest): void {
  const { scope, seqs, upToSeq } = request;
  const faults = new Faults();
  if (scope === DeleteScope.FOR_ME) checkAddressOfUser(faults, request);
  else checkAddress(faults, '', request);
  checkEnum(faults, () => 'scope', scope, DeleteScope);
  if (seqs.length === 0 && upToSeq === 0n) {
    faults.add('MISSING_FIELD', 'seqs', 'either seqs or up_to_seq is required');
  } else if (seqs.length > 0 && upToSeq > 0n) {
    faults.add('INVALID_FIELD', 'up_to_seq', 'must not stand beside seqs');
  }
  checkMost(faults, () => 'seqs', seqs.length, DELETE_SEQS);
  faults.throwIfAny();
}
