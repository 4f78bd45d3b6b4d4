import { create } from '@bufbuild/protobuf';
import {
  type MarkDeliveredRequest,
  type MarkReadRequest,
  MarksSchema,
  type Marks as MarksTold,
} from '../../../clients/gen/backscroll/history/v1/inbox_pb.ts';
import type { Database } from '../store/database.ts';
import { type Marks, raiseMarks } from '../store/marks.ts';
import type { Conversation } from '../store/model.ts';
import { checkAddress, conversationAt } from './address.ts';
import { Faults } from './faults.ts';
import { checkName } from './names.ts';
import type { View } from './view.ts';

/** Up to where a user got in a conversation. */
export interface Mark {
  readonly user: string;
  readonly conversation: Conversation;
  readonly seq: number;
}

/** @throws ServiceError INVALID_ARGUMENT with all faults */
export function parseMark(request: MarkReadRequest | MarkDeliveredRequest): Mark {
  const { user, conversation, seq } = request;
  const faults = new Faults();
  checkAddress(faults, '', request);
  if (conversation.case !== 'peer' && user === '') checkName(faults, () => 'user', user);
  faults.throwIfAny();
  return { user, conversation: conversationAt(request), seq: Number(seq) };
}

/** Raises the marks of a view's user as far as they may see, and gives them as they then stand. */
export async function raiseOwnMarks(
  database: Database,
  view: View,
  atLeast: Marks,
): Promise<MarksTold> {
  const { conversation, user, lastSeq, marks: before = atLeast } = view;
  const readSeq = Math.min(atLeast.readSeq, lastSeq);
  const deliveredSeq = Math.min(atLeast.deliveredSeq, lastSeq);
  const rises = readSeq > before.readSeq || deliveredSeq > before.deliveredSeq;
  const seen = { readSeq, deliveredSeq };
  return marksTold(rises ? await raiseMarks(database, conversation.id, user, seen) : before);
}

/** Marks as they go over the wire. */
export function marksTold({ readSeq, deliveredSeq }: Marks): MarksTold {
  return create(MarksSchema, { readSeq: BigInt(readSeq), deliveredSeq: BigInt(deliveredSeq) });
}
