import type { MessageInitShape } from '@bufbuild/protobuf';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  Kind,
  Order,
  type SyncRequestSchema,
} from '../../../clients/gen/backscroll/history/v1/history_pb.ts';
import {
  CallKind,
  CallOutcome,
  type MessageSchema,
} from '../../../clients/gen/backscroll/history/v1/message_pb.ts';
import type { HistoryContext } from '../../../services/history/context.ts';
import { group, pair } from '../../../services/history/domain/conversation.ts';
import { writeIntervals } from '../../../services/history/store/intervals.ts';
import { HIDDEN } from '../../../services/history/store/tables.ts';
import { methodsOf } from './calls.ts';
import { type Counts, counting } from './counting.ts';
import { engines, opened } from './engines.ts';
import { appendAll, encoded, encodedFor, numbered } from './messages.ts';
import { setMember } from './raw-rows.ts';

/** Messages of a long conversation. */
const LONG = 20_000;

describe.each(engines)('filters and costs of pages: %s', (_name, open) => {
  const room = group('room');
  const ofRoom = { user: 'alice', conversation: { case: 'group', value: 'room' } } as const;
  let context: HistoryContext;
  let counts: Counts;

  beforeEach(async () => {
    context = await opened(open);
    counts = { statements: 0, transactions: 0, inTransactions: 0 };
  });

  /** A page, and how many statements it took. */
  async function sync(request: MessageInitShape<typeof SyncRequestSchema>) {
    const { appends, nowMs } = context;
    const database = counting(context.database, counts);
    counts.statements = 0;
    const page = await methodsOf({ database, appends, nowMs }).sync(request);
    const { result } = page;
    return {
      seqs: page.messages.map(({ seq }) => Number(seq)),
      known: [Number(result?.fromSeq), Number(result?.toSeq)],
      reached: [result?.reachedOldest, result?.reachedNewest],
      statements: counts.statements,
    };
  }

  type Sent = MessageInitShape<typeof MessageSchema>;

  /** A long group with texts by alice and a few other messages at their seqs. */
  async function writeLong(others: Record<number, Sent>): Promise<void> {
    const messages = Array.from({ length: LONG }, (_, n): Sent => {
      const text = { sender: 'alice', content: { text: 'x' } };
      return { id: `${n + 1}`, ...(others[n + 1] ?? text) };
    });
    for (let at = 0; at < LONG; at += 5_000) {
      await appendAll(context.database, room, encoded(...messages.slice(at, at + 5_000)));
    }
  }

  function callBy(sender: string, outcome: CallOutcome): Sent {
    return { sender, content: { call: { kind: CallKind.VOICE, outcome } } };
  }

  it('fill a page from the ends of a long conversation, in a few statements', async () => {
    const file = { sender: 'bob', content: { files: [{ name: 'f' }], thread: 't' } };
    await writeLong({ 17: file, 19990: file });
    for (const filter of [{ kinds: [Kind.FILE] }, { thread: 't' }]) {
      const all = await sync({ ...ofRoom, filter });
      expect(all).toMatchObject({ seqs: [19_990, 17], known: [1, LONG], reached: [true, true] });
      expect(all.statements).toBeLessThanOrEqual(3);
      const before = { case: 'beforeSeq', value: 19_990n } as const;
      const one = await sync({ ...ofRoom, filter, anchor: before, count: 1 });
      expect(one).toMatchObject({ seqs: [17], known: [1, 19_989], reached: [true, false] });
      expect(one.statements).toBeLessThanOrEqual(5);
      const around = { case: 'aroundSeq', value: 9_000n } as const;
      const both = await sync({ ...ofRoom, filter, anchor: around, order: Order.OLDEST_FIRST });
      expect(both).toMatchObject({ seqs: [17, 19_990], known: [1, LONG] });
      expect(both.statements).toBeLessThanOrEqual(5);
    }
    const filter = { kinds: [Kind.TEXT] };
    const most = await sync({ ...ofRoom, filter, count: LONG, order: Order.OLDEST_FIRST });
    expect(most.seqs).toHaveLength(LONG - 2);
    expect(most.statements).toBeLessThanOrEqual(50);
  });

  it('pass over the calls of others, and over what was said while the user was away', async () => {
    const outgoing = callBy('alice', CallOutcome.ANSWERED);
    const missed = callBy('bob', CallOutcome.MISSED);
    const calls = Array.from({ length: LONG }, (_, n) => [n + 1, missed] as const);
    await writeLong({ ...Object.fromEntries(calls), 30: outgoing, 15000: outgoing });
    const filter = { kinds: [Kind.OUTGOING_CALL] };
    const own = await sync({ ...ofRoom, filter });
    expect(own).toMatchObject({ seqs: [15_000, 30], known: [1, LONG], reached: [true, true] });
    expect(own.statements).toBeLessThanOrEqual(80);

    const seen = [{ from: 1, to: 40 }, { from: 60, to: 70 }, { from: LONG - 5 }];
    const intervals = `intervals = x'${writeIntervals(seen).toString('hex')}'`;
    await setMember(context.database, room.id, 'alice', intervals);
    const part = await sync({ ...ofRoom, filter: { kinds: [Kind.MISSED_CALL] }, count: 20 });
    expect(part.seqs).toHaveLength(20);
    expect(part.seqs.slice(5, 18)).toEqual([
      ...[LONG - 5, 70, 69, 68, 67, 66, 65, 64, 63, 62, 61, 60, 40],
    ]);
    expect(part.statements).toBeLessThanOrEqual(10);
  });

  it('tell calls by who made them', async () => {
    const { ANSWERED, MISSED } = CallOutcome;
    const sent = [
      callBy('alice', ANSWERED),
      callBy('bob', ANSWERED),
      callBy('alice', MISSED),
      callBy('bob', MISSED),
      { ...callBy('bob', MISSED), content: { ...callBy('bob', MISSED).content, text: 'sorry' } },
    ].map((message, n) => ({ ...message, id: `${n}` }) as Sent);
    const chat = pair('alice', 'bob');
    await appendAll(context.database, room, encodedFor(room, ...sent));
    await appendAll(context.database, chat, encodedFor(chat, ...sent));
    const ofChat = { user: 'alice', conversation: { case: 'peer', value: 'bob' } } as const;
    const ofBob = { user: 'bob', conversation: { case: 'peer', value: 'alice' } } as const;
    const find = async (address: typeof ofRoom | typeof ofChat | typeof ofBob, ...kinds: Kind[]) =>
      (await sync({ ...address, filter: { kinds }, order: Order.OLDEST_FIRST })).seqs;
    for (const address of [ofRoom, ofChat]) {
      expect(await find(address, Kind.CALL)).toEqual([1, 2, 3, 4, 5]);
      expect(await find(address, Kind.OUTGOING_CALL)).toEqual([1, 3]);
      expect(await find(address, Kind.INCOMING_CALL)).toEqual([2, 4, 5]);
      expect(await find(address, Kind.MISSED_CALL)).toEqual([4, 5]);
      expect(await find(address, Kind.MISSED_CALL, Kind.OUTGOING_CALL)).toEqual([1, 3, 4, 5]);
      expect(await find(address, Kind.TEXT, Kind.OUTGOING_CALL)).toEqual([1, 3, 5]);
    }
    expect(await find(ofBob, Kind.MISSED_CALL)).toEqual([3]);
    expect(await find(ofBob, Kind.OUTGOING_CALL)).toEqual([2, 4, 5]);
    const whole = { ...ofRoom, user: '', filter: { kinds: [Kind.MISSED_CALL] } };
    expect((await sync(whole)).seqs).toEqual([5, 4, 3]);
  });

  it('look at no table more where nothing is hidden, expires or is filtered', async () => {
    await appendAll(context.database, room, numbered('a', 2_500));
    expect(await sync(ofRoom)).toMatchObject({ statements: 2 });
    const whole = { ...ofRoom, count: 1_000_000, filter: { kinds: [], thread: '' } };
    expect(await sync(whole)).toMatchObject({ statements: 5, known: [1, 2_500] });
    const anchor = { case: 'aroundSeq', value: 1_000n } as const;
    expect(await sync({ ...ofRoom, anchor })).toMatchObject({ statements: 2, known: [975, 1_024] });
  });

  it('pass over long stretches of hidden messages in a few statements', async () => {
    await writeLong({});
    const hidden = Array.from({ length: LONG - 100 }, (_, n) => [
      ...[room.id, Buffer.from('alice'), 51 + n],
    ]);
    await context.database.run((session) => session.insert(HIDDEN, hidden, 'keep'));
    await setMember(context.database, room.id, 'alice', 'hides = 1');
    const anchor = { case: 'beforeSeq', value: BigInt(LONG - 49) } as const;
    const page = await sync({ ...ofRoom, anchor, count: 10 });
    expect(page.seqs).toEqual([50, 49, 48, 47, 46, 45, 44, 43, 42, 41]);
    expect(page).toMatchObject({ known: [41, LONG - 50], reached: [false, false] });
    expect(page.statements).toBeLessThanOrEqual(14);
  });

  it('look no further than where they are to end, but for whether anything is beyond', async () => {
    const file = { sender: 'bob', content: { files: [{ name: 'f' }] } };
    await writeLong({ 17: file, 9000: file, 19990: file });
    const filter = { kinds: [Kind.FILE] };
    const until = async (untilSeq: bigint, afterSeq?: bigint) => {
      const anchor = afterSeq !== undefined && ({ case: 'afterSeq', value: afterSeq } as const);
      return sync({ ...ofRoom, filter, count: 1_000, untilSeq, ...(anchor && { anchor }) });
    };
    const newest = await until(9_001n);
    expect(newest).toMatchObject({ seqs: [19_990], known: [9_001, LONG], reached: [false, true] });
    expect(newest.statements).toBeLessThanOrEqual(4);
    const last = await until(17n);
    expect(last).toMatchObject({ seqs: [19_990, 9_000, 17], known: [17, LONG] });
    expect(last.reached).toEqual([true, true]);
    const oldest = await until(8_999n, 0n);
    expect(oldest).toMatchObject({ seqs: [17], known: [1, 8_999], reached: [true, false] });
    const whole = await until(BigInt(LONG) + 1n, 18n);
    expect(whole).toMatchObject({ seqs: [19_990, 9_000], known: [19, LONG] });
    expect(whole.reached).toEqual([false, true]);
    const before = { case: 'beforeSeq', value: 12n } as const;
    const plain = await sync({ ...ofRoom, anchor: before, untilSeq: 10n });
    expect(plain).toMatchObject({ seqs: [11, 10], known: [10, 11], reached: [false, false] });
    expect(plain.statements).toBe(2);
  });

  it('give what is left where messages vanish while they are read', async () => {
    const text = 'x'.repeat(200_000);
    const large = Array.from({ length: 40 }, (_, n) => ({ id: `${n}`, content: { text } }));
    await appendAll(context.database, room, encoded(...large));
    const { appends, nowMs, database } = context;
    let reads = 0;
    const vanishing: typeof database = Object.assign(Object.create(database), {
      run: async (...given: Parameters<typeof database.run>) => {
        const answer = await database.run(...given);
        if (++reads !== 2) return answer;
        await database.run((session) =>
          session.write('DELETE FROM message WHERE conversation_id = ? AND seq < ?', [room.id, 21]),
        );
        return answer;
      },
    });
    const { sync } = methodsOf({ database: vanishing, appends, nowMs });
    const { messages, result } = await sync({ ...ofRoom, user: '' });
    expect(messages.map(({ seq }) => Number(seq))).toEqual(
      Array.from({ length: 20 }, (_, n) => 40 - n),
    );
    expect(result).toMatchObject({ count: 20n, fromSeq: 1n, toSeq: 40n });
  });

  it('say which field of a request is wrong', async () => {
    const { sync } = methodsOf(context);
    const fieldsOf = (request: MessageInitShape<typeof SyncRequestSchema>) =>
      sync(request).catch((error) => [
        error.reason,
        ...error.fields.map(({ field }: { field: string }) => field),
      ]);
    const ofGroup = { conversation: ofRoom.conversation };
    const bad = [Kind.TEXT, 99 as Kind, Kind.UNSPECIFIED];
    expect(await fieldsOf({ ...ofRoom, filter: { kinds: bad } })).toEqual([
      ...['INVALID_FIELD', 'filter.kinds[1]', 'filter.kinds[2]'],
    ]);
    const calls = [Kind.INCOMING_CALL, Kind.MISSED_CALL, Kind.OUTGOING_CALL];
    expect(await fieldsOf({ ...ofGroup, filter: { kinds: calls } })).toEqual([
      ...['INVALID_FIELD', 'filter.kinds[0]', 'filter.kinds[2]'],
    ]);
    const long = 'é'.repeat(64);
    expect(await fieldsOf({ ...ofRoom, filter: { thread: `${long}x` } })).toEqual([
      ...['TOO_LARGE', 'filter.thread'],
    ]);
    const anchored = (value: string) =>
      fieldsOf({ ...ofRoom, anchor: { case: 'aroundMessageId', value } });
    expect(await anchored('')).toEqual(['MISSING_FIELD', 'around_message_id']);
    for (const around of [
      { case: 'aroundSeq', value: 7n },
      { case: 'aroundTimeMs', value: 7n },
      { case: 'aroundMessageId', value: '7' },
    ] as const) {
      const refused = await fieldsOf({ ...ofRoom, anchor: around, untilSeq: 1n });
      expect(refused).toEqual(['INVALID_FIELD', 'until_seq']);
    }
    expect(await anchored(`${long}x`)).toEqual(['TOO_LARGE', 'around_message_id']);
    expect(await anchored(long)).toEqual(['NOT_A_MEMBER']);
    expect(await fieldsOf({ ...ofRoom, filter: { thread: long } })).toEqual(['NOT_A_MEMBER']);
  });
});
