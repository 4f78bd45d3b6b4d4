import { create, toBinary } from '@bufbuild/protobuf';
import {
  type Filter,
  Order,
  type SyncRequest,
  SyncResponseSchema,
} from '../../../clients/gen/backscroll/history/v1/history_pb.ts';
import type { CallContext } from '../../common/call.ts';
import type { HistoryContext } from '../context.ts';
import { checkAddress, conversationAt } from '../domain/address.ts';
import { type Anchor, checkAnchor, position, spotOf } from '../domain/anchor.ts';
import { checkKnown, Faults } from '../domain/faults.ts';
import { checkFilter, isFiltering } from '../domain/filter.ts';
import { FrameWriter } from '../domain/frames.ts';
import { marksTold } from '../domain/marks.ts';
import { matching } from '../domain/matching.ts';
import { type Page, pickPage, type Reach, type WalkWithin } from '../domain/page.ts';
import { readAhead } from '../domain/read-ahead.ts';
import { unexpired } from '../domain/seen.ts';
import { type View, viewOf } from '../domain/view.ts';
import { inView, type Reading, Walk } from '../domain/walk.ts';
import { SYNC_COUNT_DEFAULT, SYNC_COUNT_MAX } from '../limits.ts';
import type { Conversation } from '../store/model.ts';
import { checkCaller } from './authorize.ts';

interface SyncQuery extends Reach {
  readonly user: string;
  readonly conversation: Conversation;
  readonly anchor: Anchor;
  readonly newestFirst: boolean;
  readonly filter: Filter | undefined;
}

/** Streams the frames of one page, already encoded. */
export async function* sync(
  { database, nowMs }: Pick<HistoryContext, 'database' | 'nowMs'>,
  request: SyncRequest,
  { caller, signal }: CallContext,
): AsyncGenerator<Uint8Array> {
  const query = parseSync(request);
  checkCaller(caller, [query.user]);
  const view = await viewOf(database, query.conversation, query.user, signal);
  const reading = { database, view, nowMs: nowMs(), signal };
  const spot = await spotOf(reading, query.anchor);
  const page = await pickPage(walksOf(reading, query.filter), view, spot, query);
  const frames = new FrameWriter();
  let count = 0;
  for await (const read of readAhead(reading, page.runs, query.newestFirst)) {
    const before = frames.flush();
    if (before) yield before;
    const messages = await unexpired(database, view, read, nowMs, signal);
    for (const message of messages) {
      const full = frames.add(message);
      if (full) yield full;
    }
    count += messages.length;
  }
  yield frames.finish(encodeResult(count, page, view));
}

/** @throws ServiceError INVALID_ARGUMENT with all faults */
function parseSync(request: SyncRequest): SyncQuery {
  const { user, anchor, filter, untilSeq } = request;
  const faults = new Faults();
  checkAddress(faults, '', request);
  checkAnchor(faults, request);
  checkKnown(faults, () => 'order', request.order, Order);
  checkFilter(faults, filter, user);
  faults.throwIfAny();
  return {
    user,
    conversation: conversationAt(request),
    count: Math.min(request.count || SYNC_COUNT_DEFAULT, SYNC_COUNT_MAX),
    untilSeq: position(untilSeq),
    anchor,
    newestFirst: request.order !== Order.OLDEST_FIRST,
    filter,
  };
}

function walksOf(reading: Reading, filter: Filter | undefined): WalkWithin {
  return (range, falling) => {
    const candidates = isFiltering(filter)
      ? matching(reading, filter, range, falling)
      : inView(reading.view, range, falling);
    return new Walk(reading, candidates, falling);
  };
}

function encodeResult(count: number, page: Page, view: View): Uint8Array {
  const { fromSeq, toSeq, reachedOldest, reachedNewest } = page;
  const { marks, peerMarks } = view;
  return toBinary(
    SyncResponseSchema,
    create(SyncResponseSchema, {
      result: {
        count: BigInt(count),
        fromSeq: BigInt(fromSeq),
        toSeq: BigInt(toSeq),
        reachedOldest,
        reachedNewest,
        lastSeq: BigInt(view.lastSeq),
        revision: BigInt(view.revision),
        floorSeq: BigInt(view.floorSeq),
        epoch: BigInt(view.epoch),
        ...(marks && { marks: marksTold(marks) }),
        ...(peerMarks && { peerMarks: marksTold(peerMarks) }),
      },
    }),
  );
}
