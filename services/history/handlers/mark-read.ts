import { create } from '@bufbuild/protobuf';
import {
  type MarkReadRequest,
  type MarkReadResponse,
  MarkReadResponseSchema,
} from '../../../clients/gen/backscroll/history/v1/inbox_pb.ts';
import type { CallContext } from '../../common/call.ts';
import { parseMark, raiseOwnMarks } from '../domain/marks.ts';
import { viewOf } from '../domain/view.ts';
import type { Database } from '../store/database.ts';
import { checkCaller } from './authorize.ts';

/** Marks what a user has read, and with it what was delivered to them. */
export async function markRead(
  database: Database,
  request: MarkReadRequest,
  { caller, signal }: CallContext,
): Promise<MarkReadResponse> {
  const { user, conversation, seq } = parseMark(request);
  checkCaller(caller, [user]);
  const view = await viewOf(database, conversation, user, signal);
  const marks = await raiseOwnMarks(database, view, { readSeq: seq, deliveredSeq: seq });
  return create(MarkReadResponseSchema, { marks });
}
