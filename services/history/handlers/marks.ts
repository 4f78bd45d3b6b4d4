import { create } from '@bufbuild/protobuf';
import {
  type MarkDeliveredRequest,
  type MarkDeliveredResponse,
  MarkDeliveredResponseSchema,
  type MarkReadRequest,
  type MarkReadResponse,
  MarkReadResponseSchema,
  type Marks as MarksTold,
} from '../../../clients/gen/backscroll/history/v1/inbox_pb.ts';
import type { CallContext } from '../../common/call.ts';
import type { HistoryContext } from '../context.ts';
import { checkAddressOfUser, conversationAt } from '../domain/address.ts';
import { Faults } from '../domain/faults.ts';
import { marksTold, raiseOwnMarks } from '../domain/marks.ts';
import { viewOf } from '../domain/view.ts';
import type { Marks } from '../store/marks.ts';
import { checkCaller } from './authorize.ts';

type Parts = Pick<HistoryContext, 'database'>;

/** Marks what a user has read, and with it what was delivered to them. */
export async function markRead(
  parts: Parts,
  request: MarkReadRequest,
  call: CallContext,
): Promise<MarkReadResponse> {
  const seq = Number(request.seq);
  const marks = await raise(parts, request, call, { readSeq: seq, deliveredSeq: seq });
  return create(MarkReadResponseSchema, { marks });
}

/** Marks what was delivered to a user. */
export async function markDelivered(
  parts: Parts,
  request: MarkDeliveredRequest,
  call: CallContext,
): Promise<MarkDeliveredResponse> {
  const atLeast = { readSeq: 0, deliveredSeq: Number(request.seq) };
  const marks = await raise(parts, request, call, atLeast);
  return create(MarkDeliveredResponseSchema, { marks });
}

/** @throws ServiceError INVALID_ARGUMENT with all faults */
async function raise(
  { database }: Parts,
  request: MarkReadRequest | MarkDeliveredRequest,
  { caller, signal }: CallContext,
  atLeast: Marks,
): Promise<MarksTold> {
  const { user } = request;
  const faults = new Faults();
  checkAddressOfUser(faults, request);
  faults.throwIfAny();
  checkCaller(caller, [user]);
  const view = await viewOf(database, conversationAt(request), user, signal);
  return marksTold(await raiseOwnMarks(database, view, atLeast));
}
