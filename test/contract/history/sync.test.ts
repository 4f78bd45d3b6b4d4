import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  ImportRequestSchema,
  Order,
  SyncRequestSchema,
  type SyncResponse,
  SyncResponseSchema,
} from '../../../clients/gen/backscroll/history/v1/history_pb.ts';
import {
  type Message,
  MessageSchema,
} from '../../../clients/gen/backscroll/history/v1/message_pb.ts';
import type { CallContext } from '../../../services/common/call.ts';
import { createLogger } from '../../../services/common/logger.ts';
import type { HistoryContext } from '../../../services/history/context.ts';
import { group, pair } from '../../../services/history/domain/conversation.ts';
import { importBatches } from '../../../services/history/handlers/import.ts';
import { sync } from '../../../services/history/handlers/sync.ts';
import { FIRST_READ, FRAME_BYTES, FRAME_MESSAGES } from '../../../services/history/limits.ts';
import { engines, never, opened } from './engines.ts';
import { appendAll, encoded, numbered } from './messages.ts';

const call: CallContext = {
  caller: { kind: 'service' },
  signal: never,
  requestId: 'test',
  log: createLogger('test', 'silent'),
};

describe.each(engines)('syncing: %s', (_name, open) => {
  const chat = pair('alice', 'bob');
  let context: HistoryContext;

  beforeEach(async () => {
    context = await opened(open);
  });

  async function frames(request: MessageInitShape<typeof SyncRequestSchema>) {
    const all: SyncResponse[] = [];
    const stream = sync(context, create(SyncRequestSchema, request), call);
    for await (const bytes of stream) all.push(fromBinary(SyncResponseSchema, bytes));
    return all;
  }

  async function page(request: MessageInitShape<typeof SyncRequestSchema>) {
    const all = await frames(request);
    const result = all.at(-1)?.result;
    if (!result) throw new Error('the last frame has no result');
    expect(all.slice(0, -1).every((frame) => frame.result === undefined)).toBe(true);
    return { messages: all.flatMap((frame) => frame.messages), result };
  }

  const ofChat = { user: 'bob', conversation: { case: 'peer', value: 'alice' } } as const;

  it('is an empty history where two users never spoke', async () => {
    const { messages, result } = await page(ofChat);
    expect(messages).toEqual([]);
    expect(result).toMatchObject({
      ...{ count: 0n, fromSeq: 1n, toSeq: 0n, lastSeq: 0n, revision: 0n },
      ...{ reachedOldest: true, reachedNewest: true },
    });
  });

  it('gives 50 where no count is given', async () => {
    await appendAll(context.database, chat, numbered('a', 60));
    const { messages, result } = await page(ofChat);
    expect(messages.map(({ seq }) => seq)).toEqual(seqs(60, 11));
    expect(result).toMatchObject({ count: 50n, fromSeq: 11n, toSeq: 60n, reachedOldest: false });
  });

  it('gives back what was stored, whatever the text holds', async () => {
    const texts = [
      '',
      '\0',
      'a\u2028b\u2029c',
      'שלום \u202eעולם',
      '\u{1f468}\u200d\u{1f469}',
      '\ufeff',
      '\r\n\t',
    ];
    const given = texts.map((text, n) => ({ id: `${n}`, sender: 'bob', content: { text } }));
    await appendAll(context.database, chat, encoded(...given));
    const { messages } = await page({ ...ofChat, order: Order.OLDEST_FIRST });
    expect(messages).toEqual(
      given.map((message, n) => create(MessageSchema, { ...message, seq: BigInt(n + 1) })),
    );
  });

  it('sends a body as it was stored, also with a field that nobody knows', async () => {
    const unknown = [{ no: 4000, wireType: 2, data: Uint8Array.of(3, 1, 2, 3) }];
    const message = create(MessageSchema, { id: 'x', content: { text: 'hi' } });
    message.$unknown = unknown;
    const body = Buffer.from(toBinary(MessageSchema, message));
    await appendAll(context.database, chat, [{ ...encoded({ id: 'x' })[0]!, body }]);
    const [synced] = (await page(ofChat)).messages;
    const got = synced?.$unknown?.map((field) => ({ ...field, data: new Uint8Array(field.data) }));
    expect(got).toEqual(unknown);
    expect(synced).toMatchObject({ seq: 1n, id: 'x', content: { text: 'hi' } });
  });

  it('begins with a small frame, and splits all at their limits of messages and bytes', async () => {
    const small = await frames({ ...ofChat, count: 1 });
    expect(small).toHaveLength(1);
    await appendAll(context.database, chat, numbered('a', 2 * FRAME_MESSAGES + 1));
    const sizes = (await frames({ ...ofChat, count: 2_000 })).map(
      ({ messages }) => messages.length,
    );
    const rest = FRAME_MESSAGES + 1 - FIRST_READ.rows;
    expect(sizes).toEqual([FIRST_READ.rows, FRAME_MESSAGES, rest]);

    const room = group('large');
    const text = 'x'.repeat(100_000);
    const batch = encoded(...[1, 2, 3, 4, 5].map((n) => ({ id: `${n}`, content: { text } })));
    await appendAll(context.database, room, batch);
    const large = await frames({ conversation: { case: 'group', value: 'large' } });
    expect(large.map(({ messages }) => messages.length)).toEqual([1, 1, 1, 2]);
    for (const frame of large) {
      expect(toBinary(SyncResponseSchema, frame).length).toBeLessThan(FRAME_BYTES);
    }
  });

  it('shows a page of one moment, while others write', async () => {
    await appendAll(context.database, chat, numbered('a', 1_200));
    for (const order of [Order.OLDEST_FIRST, Order.NEWEST_FIRST]) {
      const { lastSeq } = (await page({ ...ofChat, count: 1 })).result;
      const request = create(SyncRequestSchema, { ...ofChat, count: 10_000, order });
      const got: bigint[] = [];
      let result: SyncResponse['result'];
      for await (const bytes of sync(context, request, call)) {
        await appendAll(context.database, chat, numbered(`${order}.${got.length}.`, 3));
        const frame = fromBinary(SyncResponseSchema, bytes);
        got.push(...frame.messages.map(({ seq }) => seq));
        result = frame.result;
      }
      const last = Number(lastSeq);
      expect(got).toEqual(order === Order.OLDEST_FIRST ? seqs(1, last) : seqs(last, 1));
      expect(result).toMatchObject({ lastSeq, toSeq: lastSeq, reachedNewest: true });
    }
  });

  it('takes any seq as a position', async () => {
    await appendAll(context.database, chat, numbered('a', 3));
    const beyond = 2n ** 64n - 1n;
    const cases = [
      [{ case: 'beforeSeq', value: 0n }, [], 1n, 0n],
      [{ case: 'beforeSeq', value: 1n }, [], 1n, 0n],
      [{ case: 'beforeSeq', value: 3n }, [2n, 1n], 1n, 2n],
      [{ case: 'beforeSeq', value: beyond }, [3n, 2n, 1n], 1n, 3n],
      [{ case: 'afterSeq', value: 0n }, [3n, 2n, 1n], 1n, 3n],
      [{ case: 'afterSeq', value: 2n }, [3n], 3n, 3n],
      [{ case: 'afterSeq', value: 3n }, [], 4n, 3n],
      [{ case: 'afterSeq', value: beyond }, [], 4n, 3n],
    ] as const;
    for (const [anchor, expected, fromSeq, toSeq] of cases) {
      const { messages, result } = await page({ ...ofChat, anchor });
      expect(messages.map(({ seq }) => seq)).toEqual(expected);
      expect(result).toMatchObject({ fromSeq, toSeq, lastSeq: 3n });
    }
  });

  it('agrees with a list that is cut', async () => {
    const rooms = ['a', 'b'];
    const model = new Map(rooms.map((room): [string, Message[]] => [room, []]));
    let made = 0;
    for (const [room, stored] of model) {
      const first = [messageOf(stored, 1, 10, made++)];
      await importInto(context, room, first);
      addTo(stored, first);
    }
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...rooms),
        fc.array(fc.tuple(fc.nat(200), fc.constantFrom(10, 10, 10, 30_000))),
        fc.array(queries, { minLength: 1 }),
        async (room, additions, asked) => {
          const messages = additions.map(([old, size]) =>
            messageOf(model.get(room)!, old, size, made++),
          );
          if (messages.length > 0) await importInto(context, room, messages);
          addTo(model.get(room)!, messages);
          for (const query of asked) {
            const got = await page({ conversation: { case: 'group', value: room }, ...query });
            expectCut(got, model.get(room)!, query);
          }
        },
      ),
      { numRuns: 40 },
    );
  });
});

type Query = Pick<MessageInitShape<typeof SyncRequestSchema>, 'count' | 'anchor' | 'order'>;

const seqsAsked = fc.oneof(fc.bigInt(0n, 40n), fc.bigInt(0n, 2n ** 64n - 1n));
const queries: fc.Arbitrary<Query> = fc.record({
  count: fc.oneof(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 2 ** 32 - 1 })),
  order: fc.constantFrom(Order.OLDEST_FIRST, Order.NEWEST_FIRST, Order.UNSPECIFIED),
  anchor: fc.oneof(
    fc.constant({ case: undefined }),
    fc.record({ case: fc.constant('beforeSeq' as const), value: seqsAsked }),
    fc.record({ case: fc.constant('afterSeq' as const), value: seqsAsked }),
  ),
});

/** A new message, or for a small `old` one that was stored already. */
function messageOf(stored: Message[], old: number, size: number, made: number): Message {
  const repeated = old < stored.length / 4 ? stored[old] : undefined;
  const text = String(made).padEnd(size, '.');
  return repeated ?? create(MessageSchema, { id: `m${made}`, sender: 'alice', content: { text } });
}

async function importInto(context: HistoryContext, room: string, messages: Message[]) {
  const runs = [{ conversation: { case: 'group', value: room }, messages } as const];
  async function* requests() {
    yield create(ImportRequestSchema, { runs });
  }
  for await (const answer of importBatches(context, requests(), call)) {
    expect(answer.added + answer.repeated).toBe(messages.length);
  }
}

function addTo(stored: Message[], messages: Message[]): void {
  const known = new Set(stored.map(({ id }) => id));
  for (const message of messages) {
    if (known.has(message.id)) continue;
    known.add(message.id);
    stored.push(create(MessageSchema, { ...message, seq: BigInt(stored.length + 1) }));
  }
}

/** The naive way: filter, sort, cut. */
function expectCut(
  got: { messages: Message[]; result: NonNullable<SyncResponse['result']> },
  stored: readonly Message[],
  { count = 0, anchor, order }: Query,
): void {
  const after = anchor?.case === 'afterSeq';
  const matching = stored.filter(({ seq }) => {
    if (anchor?.case === undefined) return true;
    return after ? seq > (anchor.value as bigint) : seq < (anchor.value as bigint);
  });
  const picked = after ? matching.slice(0, count) : matching.slice(-count);
  const delivered = order === Order.OLDEST_FIRST ? picked : picked.toReversed();
  expect(got.messages).toEqual(delivered);
  const { fromSeq, toSeq, reachedOldest, reachedNewest, lastSeq } = got.result;
  expect(got.result.count).toBe(BigInt(picked.length));
  expect(lastSeq).toBe(BigInt(stored.length));
  expect(toSeq - fromSeq + 1n).toBe(BigInt(picked.length));
  if (picked.length > 0) expect([fromSeq, toSeq]).toEqual([picked[0]!.seq, picked.at(-1)!.seq]);
  expect(reachedOldest).toBe(stored.every(({ seq }) => seq >= fromSeq));
  expect(reachedNewest).toBe(stored.every(({ seq }) => seq <= toSeq));
}

function seqs(from: number, to: number): bigint[] {
  const step = from <= to ? 1 : -1;
  return Array.from({ length: Math.abs(to - from) + 1 }, (_, n) => BigInt(from + n * step));
}
