import { create } from '@bufbuild/protobuf';
import {
  type MarkDeliveredRequest,
  type MarkDeliveredResponse,
  MarkDeliveredResponseSchema,
} from '../../../clients/gen/backscroll/history/v1/inbox_pb.ts';
import type { CallContext } from '../../common/call.ts';
import { parseMark, raiseOwnMarks } from '../domain/marks.ts';
import { viewOf } from '../domain/view.ts';
import type { Database } from '../store/database.ts';
import { checkCaller } from './authorize.ts';

/** Marks what was delivered to a user. */
export async function markDelivered(
  database: Database,
  request: MarkDeliveredRequest,
  { caller, signal }: CallContext,
): Promise<MarkDeliveredResponse> {
  const { user, conversation, seq } = parseMark(request);
  checkCaller(caller, [user]);
  const view = await viewOf(database, conversation, user, signal);
  const marks = await raiseOwnMarks(database, view, { readSeq: 0, deliveredSeq: seq });
  return create(MarkDeliveredResponseSchema, { marks });
}
