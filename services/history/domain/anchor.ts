import type { SyncRequest } from '../../../clients/gen/backscroll/history/v1/history_pb.ts';
import { MESSAGE_ID_BYTES } from '../limits.ts';
import { blocksBefore, sentSince, seqOfId } from '../store/anchors.ts';
import { type Closed, clip } from '../store/intervals.ts';
import { BLOCK_SEQS } from '../store/tables.ts';
import { messageNotFound } from './errors.ts';
import { checkBytes, type Faults } from './faults.ts';
import type { Spot } from './page.ts';
import { seenAmong } from './seen.ts';
import type { Reading } from './walk.ts';

/** As requests give it. */
export type Anchor = SyncRequest['anchor'];

/** Notes what is wrong with an anchor and where its page is to end; seqs and times may be any. */
export function checkAnchor(
  faults: Faults,
  { anchor, untilSeq }: Pick<SyncRequest, 'anchor' | 'untilSeq'>,
): void {
  if (untilSeq > 0n && anchor.case?.startsWith('around')) {
    faults.add('INVALID_FIELD', 'until_seq', 'must not stand beside an anchor with two sides');
  }
  if (anchor.case !== 'aroundMessageId') return;
  if (anchor.value === '') faults.add('MISSING_FIELD', 'around_message_id', 'must not be empty');
  checkBytes(faults, () => 'around_message_id', anchor.value, MESSAGE_ID_BYTES);
}

/**
 * Where an anchor stands for the reader; without one, above the newest message.
 *
 * @throws ServiceError MESSAGE_NOT_FOUND
 */
export async function spotOf(reading: Reading, anchor: Anchor): Promise<Spot> {
  switch (anchor.case) {
    case undefined:
      return newest(reading);
    case 'beforeSeq':
      return { side: 'below', seq: position(anchor.value) };
    case 'afterSeq':
      return { side: 'from', seq: position(anchor.value) + 1 };
    case 'aroundSeq':
      return { side: 'around', seq: position(anchor.value) };
    case 'aroundTimeMs':
      return aroundTime(reading, anchor.value);
    case 'aroundMessageId':
      return { side: 'around', seq: await seenSeqOfId(reading, anchor.value) };
  }
}

function newest({ view }: Reading): Spot {
  return { side: 'below', seq: view.lastSeq + 1 };
}

/** A seq as requests give it: any is valid, and no message stands beyond this one's greatest. */
export function position(seq: bigint): number {
  return Math.min(Number(seq), Number.MAX_SAFE_INTEGER - 1);
}

async function seenSeqOfId(reading: Reading, messageId: string): Promise<number> {
  const { database, view, signal } = reading;
  const seq = await seqOfId(database, view.conversation.id, messageId, signal);
  const [seen] = seq === undefined ? [] : await seenOf(reading, [seq]);
  if (!seen) throw messageNotFound();
  return seen;
}

async function aroundTime(reading: Reading, timeMs: bigint): Promise<Spot> {
  for await (const seqs of inViewSince(reading, timeMs)) {
    const [seq] = await seenOf(reading, seqs);
    if (seq) return { side: 'around', seq };
  }
  return newest(reading);
}

function seenOf({ database, view, nowMs, signal }: Reading, seqs: number[]): Promise<number[]> {
  return database.run((session) => seenAmong(session, view, seqs, nowMs), signal);
}

/** Blocks of which the highest times are read at once. */
const TIME_BLOCKS = 4_096;

/** Blocks of which the messages' times are read at once, at most: mostly the first has what is looked for. */
const OPEN_BLOCKS = 16;

/** All in view that was sent at `timeMs` or later, in seq order. */
async function* inViewSince(reading: Reading, timeMs: bigint): AsyncGenerator<number[]> {
  const { database, view, signal } = reading;
  const { id } = view.conversation;
  let blocks = 1;
  for (let from = blockOf(view.floorSeq); from <= blockOf(view.lastSeq); from += TIME_BLOCKS) {
    const window = { from, to: Math.min(from + TIME_BLOCKS - 1, blockOf(view.lastSeq)) };
    // What is not known to be older is looked into: also blocks that are not full yet.
    const older = await blocksBefore(database, id, window, timeMs, signal);
    const open = runsByBlock(reading, window).filter(({ from }) => !older.has(blockOf(from)));
    while (open.length > 0) {
      const seqs = await sentSince(database, id, open.splice(0, blocks), timeMs, signal);
      blocks = Math.min(blocks * 2, OPEN_BLOCKS);
      yield seqs.sort((a, b) => a - b);
    }
  }
}

/** What is in view of a window of blocks, cut where blocks end. */
function runsByBlock({ view }: Reading, window: Closed): Closed[] {
  const seen = clip(view.intervals, firstOf(window.from), firstOf(window.to + 1) - 1);
  return seen.flatMap(({ from, to }) => {
    const blocks = Array.from(
      { length: blockOf(to) - blockOf(from) + 1 },
      (_, n) => blockOf(from) + n,
    );
    return blocks.map((block) => ({
      from: Math.max(from, firstOf(block)),
      to: Math.min(to, firstOf(block + 1) - 1),
    }));
  });
}

function blockOf(seq: number): number {
  return Math.floor((seq - 1) / BLOCK_SEQS);
}

function firstOf(block: number): number {
  return block * BLOCK_SEQS + 1;
}
