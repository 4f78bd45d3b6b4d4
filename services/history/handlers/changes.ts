import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import {
  type ChangesRequest,
  ChangesResponseSchema,
} from '../../../clients/gen/backscroll/history/v1/changes_pb.ts';
import type { CallContext } from '../../common/call.ts';
import type { HistoryContext } from '../context.ts';
import { checkAddress, conversationAt } from '../domain/address.ts';
import { changesSince } from '../domain/changes.ts';
import { Faults } from '../domain/faults.ts';
import { FrameWriter } from '../domain/frames.ts';
import { type View, viewOf } from '../domain/view.ts';
import { checkCaller } from './authorize.ts';

/** Streams what changed since a revision, as frames that are already encoded. */
export async function* changes(
  { database, nowMs }: Pick<HistoryContext, 'database' | 'nowMs'>,
  request: ChangesRequest,
  { caller, signal }: CallContext,
): AsyncGenerator<Uint8Array> {
  const faults = new Faults();
  checkAddress(faults, '', request);
  faults.throwIfAny();
  const { user } = request;
  checkCaller(caller, [user]);
  const view = await viewOf(database, conversationAt(request), user, signal);
  const since = Number(request.sinceRevision);
  const frames = new FrameWriter();
  for await (const changed of changesSince(database, view, since, nowMs, signal)) {
    for (const message of changed.messages) {
      const full = frames.add(message);
      if (full) yield full;
    }
    const hiddenSeqs = changed.hiddenSeqs.map(BigInt);
    if (hiddenSeqs.length > 0) yield encode({ hiddenSeqs });
  }
  yield frames.finish(encode({ result: resultOf(view) }));
}

type Frame = MessageInitShape<typeof ChangesResponseSchema>;

function resultOf({ revision, lastSeq, floorSeq, epoch }: View): NonNullable<Frame['result']> {
  return {
    revision: BigInt(revision),
    lastSeq: BigInt(lastSeq),
    floorSeq: BigInt(floorSeq),
    epoch: BigInt(epoch),
  };
}

function encode(frame: Frame): Uint8Array {
  return toBinary(ChangesResponseSchema, create(ChangesResponseSchema, frame));
}
