import { FIRST_READ, READ_BYTES, READ_ROWS } from '../limits.ts';
import { type Closed, clip } from '../store/intervals.ts';
import type { StoredMessage } from '../store/model.ts';
import { read, readSeqs } from '../store/read.ts';
import { runsOf, SeqQueue, seqsOf, sizeOf } from './seq-runs.ts';
import type { Reading } from './walk.ts';

/**
 * Reads the messages of `runs`, which rise, piece by piece, the next piece while this one is used.
 * Each may be twice as large as the one before, and asks for as many messages as should fit by the
 * sizes of those. Messages that are gone do not come.
 */
export async function* readAhead(
  reading: Reading,
  runs: readonly Closed[],
  newestFirst: boolean,
): AsyncGenerator<StoredMessage[]> {
  const waiting = new SeqQueue(newestFirst, newestFirst ? runs.toReversed() : runs);
  let left = new SeqQueue(newestFirst);
  let bytes: number = FIRST_READ.bytes;
  const readSome = async (rows: number) => {
    if (left.size === 0) left.push(waiting.take(rows));
    if (left.size === 0) return undefined;
    const piece = await readRuns(reading, left.take(rows), newestFirst, bytes);
    left = new SeqQueue(newestFirst, [...piece.left, ...left.take(left.size)]);
    return piece.messages;
  };
  let messages = await readSome(FIRST_READ.rows);
  while (messages) {
    bytes = Math.min(2 * bytes, READ_BYTES);
    const next = readSome(rowsAfter(messages, bytes));
    next.catch(() => {}); // it is told when it is awaited, if ever
    yield messages;
    messages = await next;
  }
}

interface Piece {
  readonly messages: StoredMessage[];
  /** What is still to be read. */
  readonly left: readonly Closed[];
}

async function readRuns(
  { database, view, signal }: Reading,
  runs: readonly Closed[],
  newestFirst: boolean,
  maxBytes: number,
): Promise<Piece> {
  const { id } = view.conversation;
  const [first, last] = [runs[0]!, runs.at(-1)!];
  const [fromSeq, toSeq] = newestFirst ? [last.from, first.to] : [first.from, last.to];
  if (toSeq - fromSeq + 1 > sizeOf(runs) * SPARSE) {
    const seqs = seqsOf(runs, newestFirst);
    const { messages, left } = await readSeqs(database, id, seqs, maxBytes, signal);
    return { messages, left: runsOf(left) };
  }
  const range = { fromSeq, toSeq, newestFirst };
  const messages = await read(database, id, range, maxBytes, signal);
  const end = messages.at(-1)?.seq ?? (newestFirst ? fromSeq : toSeq);
  const left = newestFirst ? clip(runs, fromSeq, end - 1) : clip(runs, end + 1, toSeq);
  if (runs.length === 1) return { messages, left };
  const wanted = new Set(seqsOf(runs, newestFirst));
  return { messages: messages.filter(({ seq }) => wanted.has(seq)), left };
}

/** Where a stretch has more than so many messages for each one wanted, those are read one by one. */
const SPARSE = 2;

/** How many messages like these should fit in so many bytes. */
function rowsAfter(messages: readonly StoredMessage[], maxBytes: number): number {
  if (messages.length === 0) return READ_ROWS;
  const bytes = messages.reduce((sum, { body }) => sum + body.length, 0);
  const rows = Math.floor((maxBytes * messages.length) / Math.max(bytes, 1));
  return Math.min(Math.max(rows, 1), READ_ROWS);
}
