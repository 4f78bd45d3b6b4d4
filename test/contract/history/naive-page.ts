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
export type Asked = Pick<
  MessageInitShape<typeof SyncRequestSchema>,
  'count' | 'anchor' | 'order' | 'filter'
> & { readonly anchor: SyncRequest['anchor'] };

/** Something that might be asked of a past. */
export function randomRequest(random: Random, { messages, user }: Past): Asked {
  const seq = BigInt(random.between(0, messages.length + 2));
  const kinds: Kind[] = [Kind.TEXT, Kind.FILE, Kind.CALL, Kind.MISSED_CALL];
  if (user !== '') kinds.push(Kind.INCOMING_CALL, Kind.OUTGOING_CALL);
  const filter = {
    kinds: random.oneIn(4) ? [] : [random.pick(kinds), random.pick(kinds)],
    thread: random.oneIn(3) ? random.pick(THREADS) : '',
  };
  return {
    count: random.oneIn(8) ? 1_000_000 : random.between(1, random.pick([4, 70])),
    order: random.pick([Order.UNSPECIFIED, Order.NEWEST_FIRST, Order.OLDEST_FIRST]),
    anchor: random.pick([
      { case: undefined },
      { case: 'beforeSeq', value: seq },
      { case: 'afterSeq', value: seq },
      { case: 'aroundSeq', value: seq },
      { case: 'aroundTimeMs', value: BigInt(random.between(-30, 30)) },
      { case: 'aroundTimeMs', value: BigInt(random.between(9_900, 10_100)) },
      { case: 'aroundMessageId', value: `m${seq}` },
    ]),
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
  const below = some.filter((other) => other < seq);
  const above = some.filter((other) => other >= seq);
  const half = Math.floor(count / 2);
  const fewAbove = Math.min(above.length, Math.max(count - half, count - below.length));
  const taken = { below: [count, 0], from: [0, count], around: [count - fewAbove, fewAbove] }[side];
  const seqs = [...below.slice(Math.max(below.length - taken[0]!, 0)), ...above.slice(0, taken[1])];
  const picked = seqs.map((seq) => past.messages[seq - 1]!);
  return asked.order === Order.OLDEST_FIRST ? picked : picked.toReversed();
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
  if (result.reachedOldest && from <= to) expect(from).toBeLessThanOrEqual(seen[0] ?? from);
  if (result.reachedNewest && came.length > 0) expect(to).toBe(lastSeq);
  expect(Number(result.lastSeq)).toBe(lastSeq);
}
