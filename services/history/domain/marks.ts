import { create } from '@bufbuild/protobuf';
import {
  MarksSchema,
  type Marks as MarksTold,
} from '../../../clients/gen/backscroll/history/v1/inbox_pb.ts';
import type { Database } from '../store/database.ts';
import { type Marks, raiseMarks } from '../store/marks.ts';
import type { View } from './view.ts';

/** Raises the marks of a view's user as far as they may see, and gives them as they then stand. */
export async function raiseOwnMarks(
  database: Database,
  view: View,
  atLeast: Marks,
): Promise<Marks> {
  const { conversation, user, lastSeq, marks: before = atLeast } = view;
  const readSeq = Math.min(atLeast.readSeq, lastSeq);
  const deliveredSeq = Math.min(atLeast.deliveredSeq, lastSeq);
  const rises = readSeq > before.readSeq || deliveredSeq > before.deliveredSeq;
  const seen = { readSeq, deliveredSeq };
  return rises ? raiseMarks(database, conversation.id, user, seen) : before;
}

/** Marks as they go over the wire. */
export function marksTold({ readSeq, deliveredSeq }: Marks): MarksTold {
  return create(MarksSchema, { readSeq: BigInt(readSeq), deliveredSeq: BigInt(deliveredSeq) });
}
