import { create, toBinary } from '@bufbuild/protobuf';
import {
  Order,
  type SyncRequest,
  SyncResponseSchema,
} from '../../../clients/gen/backscroll/history/v1/history_pb.ts';
import type { CallContext } from '../../common/call.ts';
import { checkAddress, conversationAt } from '../domain/address.ts';
import { Faults } from '../domain/faults.ts';
import { FrameWriter } from '../domain/frames.ts';
import { type Anchor, type Page, pageOf } from '../domain/page.ts';
import { type View, viewOf } from '../domain/view.ts';
import { READ_BYTES, READ_ROWS, SYNC_COUNT_DEFAULT, SYNC_COUNT_MAX } from '../limits.ts';
import type { Database } from '../store/database.ts';
import type { Conversation, StoredMessage } from '../store/model.ts';
import { read as readMessages } from '../store/read.ts';
import { checkCaller } from './authorize.ts';

interface SyncQuery {
  readonly user: string;
  readonly conversation: Conversation;
  readonly count: number;
  readonly anchor: Anchor;
  readonly newestFirst: boolean;
}

/** Streams the frames of one page, already encoded. */
export async function* sync(
  database: Database,
  request: SyncRequest,
  { caller, signal }: CallContext,
): AsyncGenerator<Uint8Array> {
  const query = parseSync(request);
  checkCaller(caller, [query.user]);
  const view = await viewOf(database, query.conversation, query.user, signal);
  const page = pageOf(query.anchor, query.count, {
    oldest: view.floorSeq,
    newest: view.lastSeq,
  });
  const frames = new FrameWriter();
  let count = 0;
  for await (const messages of readAhead(database, query, page, signal)) {
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
  const faults = new Faults();
  checkAddress(faults, '', request);
  if (!ORDERS.has(request.order)) {
    faults.add('INVALID_FIELD', 'order', 'is no value that is known here');
  }
  faults.throwIfAny();
  return {
    user: request.user,
    conversation: conversationAt(request),
    count: Math.min(request.count || SYNC_COUNT_DEFAULT, SYNC_COUNT_MAX),
    anchor: anchorOf(request),
    newestFirst: request.order !== Order.OLDEST_FIRST,
  };
}

const ORDERS: ReadonlySet<number> = new Set(Object.values(Order));

function anchorOf({ anchor }: SyncRequest): Anchor {
  if (anchor.case === undefined) return { kind: 'newest' };
  // Any position is valid; no message stands beyond this one.
  const seq = Math.min(Number(anchor.value), Number.MAX_SAFE_INTEGER - 1);
  return { kind: anchor.case === 'afterSeq' ? 'after' : 'before', seq };
}

/**
 * Reads a page piece by piece, the next piece while this one is used. Pieces are sized by the
 * messages of the last one, so that of large messages not too many are asked for in vain.
 */
async function* readAhead(
  database: Database,
  { conversation, newestFirst }: SyncQuery,
  page: Page,
  signal: AbortSignal,
): AsyncGenerator<StoredMessage[]> {
  let { fromSeq, toSeq } = page;
  const read = async (rows: number) => {
    if (fromSeq > toSeq) return undefined;
    const range = newestFirst
      ? { fromSeq: Math.max(fromSeq, toSeq - rows + 1), toSeq, newestFirst }
      : { fromSeq, toSeq: Math.min(toSeq, fromSeq + rows - 1), newestFirst };
    const messages = await readMessages(database, conversation.id, range, READ_BYTES, signal);
    const last = messages.at(-1)?.seq;
    if (newestFirst) toSeq = (last ?? range.fromSeq) - 1;
    else fromSeq = (last ?? range.toSeq) + 1;
    return messages;
  };
  let messages = await read(READ_ROWS);
  while (messages) {
    const next = read(rowsAfter(messages));
    next.catch(() => {}); // it is told when it is awaited, if ever
    yield messages;
    messages = await next;
  }
}

function rowsAfter(messages: readonly StoredMessage[]): number {
  const bytes = messages.reduce((sum, { body }) => sum + body.length, 0);
  const rows = Math.floor((READ_BYTES * messages.length) / Math.max(bytes, 1));
  return Math.min(Math.max(rows, 1), READ_ROWS);
}

function encodeResult(count: number, page: Page, view: View): Uint8Array {
  const { fromSeq, toSeq, reachedOldest, reachedNewest } = page;
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
      },
    }),
  );
}
