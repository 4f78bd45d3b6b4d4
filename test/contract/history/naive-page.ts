import type { MessageInitShape } from '@bufbuild/protobuf';
import { expect } from 'vitest';
import {
  type Filter,
  Kind,
  Order,
  type SyncRequest,
  type SyncRequestSchema,
  type SyncResult,
} from '../../../clients/gen/backscroll/history/v1/history_pb.ts';
import {
  CallOutcome,
  type Message,
} from '../../../clients/gen/backscroll/history/v1/message_pb.ts';
import type { Random } from '../../support/random.ts';
import { NOW_MS, type Past, THREADS } from './past.ts';

/** What a page is asked by, besides the conversation. */
export type Asked = Pick<MessageInitShape<typeof SyncRequestSchema>, 'count' | 'order' | 'filter'> &
  Pick<SyncRequest, 'anchor' | 'untilSeq'>;

/** Something that might be asked of a past. */
export function randomRequest(random: Random, { messages, user }: Past): Asked {
  const seq = BigInt(random.between(0, messages.length + 2));
  const kinds: Kind[] = [Kind.TEXT, Kind.FILE, Kind.CALL, Kind.MISSED_CALL];
  if (user !== '') kinds.push(Kind.INCOMING_CALL, Kind.OUTGOING_CALL);
  const filter = {
    kinds: random.oneIn(4) ? [] : [random.pick(kinds), random.pick(kinds)],
    thread: random.oneIn(3) ? random.pick(THREADS) : '',
  };
  const anchor = random.pick<SyncRequest['anchor']>([
    { case: undefined },
    { case: 'beforeSeq', value: seq },
    { case: 'afterSeq', value: seq },
    { case: 'aroundSeq', value: seq },
    { case: 'aroundTimeMs', value: BigInt(random.between(-30, 30)) },
    { case: 'aroundTimeMs', value: BigInt(random.between(9_900, 10_100)) },
    { case: 'aroundMessageId', value: `m${seq}` },
  ]);
  const ends = !anchor.case?.startsWith('around') && random.oneIn(2);
  const untilSeq = random.oneIn(8)
    ? 2n ** 64n - 1n
    : BigInt(random.between(1, messages.length + 2));
  return {
    count: random.oneIn(8) ? 1_000_000 : random.between(1, random.pick([4, 70])),
    order: random.pick([Order.UNSPECIFIED, Order.NEWEST_FIRST, Order.OLDEST_FIRST]),
    anchor,
    untilSeq: ends ? untilSeq : 0n,
    ...(random.oneIn(2) && { filter }),
  };
}

/** Seqs that the user of a past sees, found by looking at each message. */
export function seenSeqs(past: Past): number[] {
  const hidden = new Set(past.hidden);
  return past.messages
    .filter(({ expiresAtMs }) => expiresAtMs === 0n || expiresAtMs > NOW_MS)
    .map(({ seq }) => Number(seq))
    .filter((seq) => past.intervals.some(({ from, to }) => from <= seq && seq <= (to ?? seq)))
    .filter((seq) => seq >= past.floorSeq && seq > past.hiddenUpToSeq && !hidden.has(seq));
}

/** What a page must be: undefined where the anchor's message is not there. */
export function naivePage(past: Past, asked: Asked): Message[] | undefined {
  const seen = seenSeqs(past);
  const place = placeOf(past, seen, asked.anchor);
  if (place === undefined) return undefined;
  const { seq, side } = place;
  const count = asked.count || 50;
  const some = seen.filter((seq) => isMatch(past.messages[seq - 1]!, past, asked.filter));
  const { lowest, highest } = endsOf(asked);
  const below = some.filter((other) => lowest <= other && other < seq);
  const above = some.filter((other) => seq <= other && other <= highest);
  const half = Math.floor(count / 2);
  const fewAbove = Math.min(above.length, Math.max(count - half, count - below.length));
  const taken = { below: [count, 0], from: [0, count], around: [count - fewAbove, fewAbove] }[side];
  const seqs = [...below.slice(Math.max(below.length - taken[0]!, 0)), ...above.slice(0, taken[1])];
  const picked = seqs.map((seq) => past.messages[seq - 1]!);
  return asked.order === Order.OLDEST_FIRST ? picked : picked.toReversed();
}

/** The lowest and the highest seq that may come. */
function endsOf({ anchor, untilSeq }: Asked): { lowest: number; highest: number } {
  const rises = anchor.case === 'afterSeq' && untilSeq > 0n;
  return rises
    ? { lowest: 1, highest: Number(untilSeq) }
    : { lowest: Number(untilSeq), highest: Infinity };
}

function placeOf(past: Past, seen: readonly number[], anchor: SyncRequest['anchor']) {
  const newest = { side: 'below', seq: past.messages.length + 1 } as const;
  switch (anchor.case) {
    case undefined:
      return newest;
    case 'beforeSeq':
      return { side: 'below', seq: Number(anchor.value) } as const;
    case 'afterSeq':
      return { side: 'from', seq: Number(anchor.value) + 1 } as const;
    case 'aroundSeq':
      return { side: 'around', seq: Number(anchor.value) } as const;
    case 'aroundTimeMs': {
      const seq = seen.find((seq) => past.messages[seq - 1]!.sentAtMs >= anchor.value);
      return seq === undefined ? newest : ({ side: 'around', seq } as const);
    }
    case 'aroundMessageId': {
      const seq = seen.find((seq) => past.messages[seq - 1]!.id === anchor.value);
      return seq === undefined ? undefined : ({ side: 'around', seq } as const);
    }
  }
}

function isMatch({ sender, content }: Message, { user }: Past, filter: Asked['filter']): boolean {
  const { kinds = [], thread = '' } = (filter ?? {}) as Partial<Filter>;
  if (kinds.length === 0 && thread === '') return true;
  if (!content || (thread !== '' && content.thread !== thread)) return false;
  const own = user !== '' && sender === user;
  const { text, files, call } = content;
  const holds: Record<number, boolean> = {
    [Kind.TEXT]: text !== '',
    [Kind.FILE]: files.length > 0,
    [Kind.CALL]: call !== undefined,
    [Kind.MISSED_CALL]: call?.outcome === CallOutcome.MISSED && !own,
    [Kind.INCOMING_CALL]: call !== undefined && !own,
    [Kind.OUTGOING_CALL]: call !== undefined && own,
  };
  return kinds.length === 0 || kinds.some((kind) => holds[kind]);
}

/** Holds what a result claims against what is so. */
export function expectTrue(
  past: Past,
  asked: Asked,
  got: readonly Message[],
  result: SyncResult,
): void {
  const seen = seenSeqs(past);
  const some = seen.filter((seq) => isMatch(past.messages[seq - 1]!, past, asked.filter));
  const came = got.map(({ seq }) => Number(seq)).sort((a, b) => a - b);
  const [from, to] = [Number(result.fromSeq), Number(result.toSeq)];
  const lastSeq = past.intervals.at(-1)!.to ?? past.messages.length;
  expect(result.count).toBe(BigInt(got.length));
  expect(some.filter((seq) => from <= seq && seq <= to)).toEqual(came);
  expect(result.reachedOldest).toBe(some.every((seq) => seq >= from));
  expect(result.reachedNewest).toBe(some.every((seq) => seq <= to));
  expect(from - 1).toBeLessThanOrEqual(to);
  expect(to).toBeLessThanOrEqual(lastSeq);
  const { lowest, highest } = endsOf(asked);
  const [floor, end] = [Math.max(lowest, Number(result.floorSeq)), Math.min(highest, lastSeq)];
  expect(to).toBeLessThanOrEqual(end);
  expect(from).toBeGreaterThanOrEqual(Math.min(lowest, lastSeq + 1));
  if (result.reachedOldest && from <= to) {
    expect(from).toBeLessThanOrEqual(Math.max(seen[0] ?? from, floor));
  }
  if (result.reachedNewest && came.length > 0) expect(to).toBe(end);
  // Where fewer came than were asked for, all is known up to where the page was to end.
  if (asked.untilSeq === 0n || got.length >= (asked.count || 50)) return;
  if (asked.anchor.case === 'afterSeq') expect(to).toBe(end);
  else expect(from).toBe(Math.min(floor, to + 1));
  expect(Number(result.lastSeq)).toBe(lastSeq);
}
