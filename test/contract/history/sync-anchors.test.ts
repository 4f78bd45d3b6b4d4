import type { MessageInitShape } from '@bufbuild/protobuf';
import { beforeEach, describe, expect, it } from 'vitest';
import { DeleteScope } from '../../../clients/gen/backscroll/history/v1/changes_pb.ts';
import {
  Kind,
  Order,
  type SyncRequest,
  type SyncRequestSchema,
} from '../../../clients/gen/backscroll/history/v1/history_pb.ts';
import type { HistoryContext } from '../../../services/history/context.ts';
import { group, pair } from '../../../services/history/domain/conversation.ts';
import { writeIntervals } from '../../../services/history/store/intervals.ts';
import type { Conversation } from '../../../services/history/store/model.ts';
import { BLOCK_SEQS, HIDDEN } from '../../../services/history/store/tables.ts';
import { callAs, methodsOf } from './calls.ts';
import { engines, opened } from './engines.ts';
import { appendAll, encoded, numbered } from './messages.ts';
import { setMember } from './raw-rows.ts';

type Anchor = SyncRequest['anchor'];

describe.each(engines)('anchors of pages: %s', (_name, open) => {
  const chat = pair('alice', 'bob');
  const ofChat = { user: 'bob', conversation: { case: 'peer', value: 'alice' } } as const;
  let context: HistoryContext;

  beforeEach(async () => {
    context = await opened(open);
  });

  const sync = (request: MessageInitShape<typeof SyncRequestSchema>) =>
    methodsOf(context).sync(request);

  async function seqsOf(anchor: Anchor, count: number): Promise<number[]> {
    const { messages } = await sync({ ...ofChat, anchor, count, order: Order.OLDEST_FIRST });
    return messages.map(({ seq }) => Number(seq));
  }

  async function hide(conversation: Conversation, user: string, seqs: number[]): Promise<void> {
    const rows = seqs.map((seq) => [conversation.id, Buffer.from(user), seq]);
    await context.database.run((session) => session.insert(HIDDEN, rows, 'keep'));
    await setMember(context.database, conversation.id, user, 'hides = 1');
  }

  it('find nothing where two users never spoke', async () => {
    const anchors: Anchor[] = [
      { case: 'beforeSeq', value: 5n },
      { case: 'afterSeq', value: 5n },
      { case: 'aroundSeq', value: 5n },
      { case: 'aroundTimeMs', value: 5n },
    ];
    for (const anchor of anchors) {
      for (const filter of [undefined, { kinds: [Kind.TEXT, Kind.OUTGOING_CALL], thread: 't' }]) {
        const { messages, result } = await sync({ ...ofChat, anchor, ...(filter && { filter }) });
        expect(messages).toEqual([]);
        expect(result).toMatchObject({
          ...{ count: 0n, fromSeq: 1n, toSeq: 0n, lastSeq: 0n, floorSeq: 1n },
          ...{ reachedOldest: true, reachedNewest: true },
        });
      }
    }
    const anchor = { case: 'aroundMessageId', value: 'x' } as const;
    await expect(sync({ ...ofChat, anchor })).rejects.toMatchObject({
      reason: 'MESSAGE_NOT_FOUND',
    });
  });

  it('take seqs at both ends, and as many on each side as there are', async () => {
    await appendAll(context.database, chat, numbered('a', 9));
    const around = (value: bigint, count: number) => seqsOf({ case: 'aroundSeq', value }, count);
    expect(await around(5n, 1)).toEqual([5]);
    expect(await around(5n, 2)).toEqual([4, 5]);
    expect(await around(5n, 5)).toEqual([3, 4, 5, 6, 7]);
    expect(await around(5n, 9)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    for (const low of [0n, 1n]) expect(await around(low, 4)).toEqual([1, 2, 3, 4]);
    expect(await around(9n, 4)).toEqual([6, 7, 8, 9]);
    for (const beyond of [10n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 64n - 1n]) {
      expect(await around(beyond, 4)).toEqual([6, 7, 8, 9]);
      expect(await around(beyond, 100)).toHaveLength(9);
      expect(await seqsOf({ case: 'beforeSeq', value: beyond }, 2)).toEqual([8, 9]);
      expect(await seqsOf({ case: 'afterSeq', value: beyond }, 2)).toEqual([]);
    }
  });

  it('find a message by its id, a tombstone, too, and none that the user does not see', async () => {
    const nowMs = context.nowMs();
    const expired = { id: 'expired', content: {}, expiresAtMs: BigInt(nowMs - 1) };
    await appendAll(
      context.database,
      chat,
      encoded({ id: 'deleted', sender: 'bob', content: { text: 'x' } }, { id: 'seen' }, expired),
      { nowMs: () => nowMs - 10 },
    );
    await appendAll(context.database, chat, encoded({ id: 'hidden' }, { id: 'Seen' }));
    await hide(chat, 'bob', [4]);
    const { delete: remove } = methodsOf(context);
    await remove({ ...ofChat, scope: DeleteScope.FOR_EVERYONE, seqs: [1n] });
    const around = (value: string) => seqsOf({ case: 'aroundMessageId', value }, 1);
    expect(await around('deleted')).toEqual([1]);
    expect(await around('seen')).toEqual([2]);
    expect(await around('Seen')).toEqual([5]);
    for (const id of ['expired', 'hidden', 'SEEN', 'seen ', 'x'.repeat(128)]) {
      await expect(around(id)).rejects.toMatchObject({ reason: 'MESSAGE_NOT_FOUND' });
    }
    // A filter does not hide the anchor.
    const filter = { kinds: [Kind.TEXT] };
    const anchor = { case: 'aroundMessageId', value: 'deleted' } as const;
    const { messages, result } = await sync({ ...ofChat, anchor, filter });
    expect(messages).toEqual([]);
    expect(result).toMatchObject({ fromSeq: 1n, toSeq: 5n, reachedOldest: true });
  });

  it('find the first message, in seq order, sent at a time or later', async () => {
    const times = Array.from({ length: 3 * BLOCK_SEQS + 20 }, (_, n) => n);
    times[10] = 5_000_000_000_000;
    times[2] = -5_000_000_000_000;
    for (const seq of [300, 301, 400]) times[seq - 1] = 600;
    const batch = times.map((time, n) => ({ id: `${n}`, sentAtMs: BigInt(time), content: {} }));
    await appendAll(context.database, chat, encoded(...batch));
    const at = async (value: bigint) => (await seqsOf({ case: 'aroundTimeMs', value }, 1))[0];
    const expectAll = async () => {
      expect(await at(-6_000_000_000_000n)).toBe(1);
      expect(await at(-1n)).toBe(1);
      expect(await at(3n)).toBe(4);
      expect(await at(4_000_000_000_000n)).toBe(11);
      expect(await at(5_000_000_000_001n)).toBe(times.length);
      expect(await at(2n ** 63n - 1n)).toBe(times.length);
      expect(await at(-(2n ** 63n))).toBe(1);
    };
    await expectAll();
    await hide(chat, 'bob', [11, 301]);
    expect(await at(550n)).toBe(300);
    expect(await at(600n)).toBe(300);
    expect(await at(601n)).toBe(602);
    expect(await at(BigInt(3 * BLOCK_SEQS + 5))).toBe(3 * BLOCK_SEQS + 6);
    expect(await at(4_000_000_000_000n)).toBe(times.length);
    // Blocks whose highest time is not known are looked into.
    await context.database.run((session) =>
      session.write('DELETE FROM time_block WHERE conversation_id = ? AND block IN (?)', [
        ...[chat.id, [0, 2]],
      ]),
    );
    expect(await at(601n)).toBe(602);
    await setMember(context.database, chat.id, 'bob', 'hides = 0');
    await expectAll();
  });

  it('end pages exactly at boundaries, and tell so', async () => {
    await appendAll(context.database, chat, numbered('a', 40));
    await hide(chat, 'bob', [1, 2, 3, 20, 39, 40]);
    const page = async (anchor: Anchor, count: number) => {
      const { messages, result } = await sync({ ...ofChat, anchor, count });
      const { fromSeq, toSeq, reachedOldest, reachedNewest } = result!;
      return [messages.length, Number(fromSeq), Number(toSeq), reachedOldest, reachedNewest];
    };
    expect(await page({ case: undefined }, 34)).toEqual([34, 1, 40, true, true]);
    expect(await page({ case: undefined }, 33)).toEqual([33, 5, 40, false, true]);
    expect(await page({ case: 'beforeSeq', value: 21n }, 16)).toEqual([16, 1, 20, true, false]);
    expect(await page({ case: 'beforeSeq', value: 39n }, 1)).toEqual([1, 38, 40, false, true]);
    expect(await page({ case: 'afterSeq', value: 19n }, 18)).toEqual([18, 20, 40, false, true]);
    expect(await page({ case: 'afterSeq', value: 3n }, 1)).toEqual([1, 1, 4, true, false]);
    expect(await page({ case: 'afterSeq', value: 38n }, 5)).toEqual([0, 39, 40, false, true]);
  });

  it('end pages at a seq, and tell whether anything is beyond', async () => {
    await appendAll(context.database, chat, numbered('a', 40));
    await hide(chat, 'bob', [1, 2, 3, 20, 39, 40]);
    const page = async (anchor: Anchor, untilSeq: bigint, count = 50) => {
      const { messages, result } = await sync({ ...ofChat, anchor, count, untilSeq });
      const { fromSeq, toSeq, reachedOldest, reachedNewest } = result!;
      return [messages.length, Number(fromSeq), Number(toSeq), reachedOldest, reachedNewest];
    };
    const below = (value: bigint) => ({ case: 'beforeSeq', value }) as const;
    const above = (value: bigint) => ({ case: 'afterSeq', value }) as const;
    expect(await page({ case: undefined }, 30n)).toEqual([9, 30, 40, false, true]);
    expect(await page({ case: undefined }, 30n, 8)).toEqual([8, 31, 40, false, true]);
    expect(await page({ case: undefined }, 30n, 9)).toEqual([9, 30, 40, false, true]);
    expect(await page(below(21n), 21n)).toEqual([0, 21, 20, false, false]);
    expect(await page(below(21n), 20n)).toEqual([0, 20, 20, false, false]);
    expect(await page(below(6n), 4n)).toEqual([2, 4, 5, true, false]);
    expect(await page(below(6n), 2n)).toEqual([2, 2, 5, true, false]);
    expect(await page(below(6n), 5n)).toEqual([1, 5, 5, false, false]);
    expect(await page(above(30n), 35n)).toEqual([5, 31, 35, false, false]);
    expect(await page(above(30n), 35n, 4)).toEqual([4, 31, 34, false, false]);
    expect(await page(above(30n), 38n)).toEqual([8, 31, 38, false, true]);
    expect(await page(above(30n), 39n)).toEqual([8, 31, 39, false, true]);
    expect(await page(above(30n), 2n ** 64n - 1n)).toEqual([8, 31, 40, false, true]);
    expect(await page(above(0n), 3n)).toEqual([0, 1, 3, true, false]);
    // On the other side of the anchor nothing is left.
    expect(await page(below(10n), 15n)).toEqual([0, 15, 14, false, false]);
    expect(await page(below(10n), 2n ** 64n - 1n)).toEqual([0, 41, 40, false, true]);
    expect(await page(above(10n), 5n)).toEqual([0, 6, 5, false, false]);
    expect(await page(above(10n), 2n)).toEqual([0, 1, 2, true, false]);
  });

  it('show members and former members their part, and others nothing', async () => {
    const room = group('room');
    await appendAll(context.database, room, numbered('a', 10));
    const intervals = writeIntervals([
      { from: 2, to: 3 },
      { from: 6, to: 8 },
    ]).toString('hex');
    const settings = `role = 0, intervals = x'${intervals}'`;
    await setMember(context.database, room.id, 'alice', settings);
    const ofRoom = { conversation: { case: 'group', value: 'room' } } as const;
    const { messages, result } = await sync({ user: 'alice', ...ofRoom, count: 3 });
    expect(messages.map(({ seq }) => seq)).toEqual([8n, 7n, 6n]);
    expect(result).toMatchObject({ lastSeq: 8n, floorSeq: 2n, fromSeq: 6n, toSeq: 8n });
    const untilGap = await sync({ user: 'alice', ...ofRoom, untilSeq: 5n });
    expect(untilGap.messages.map(({ seq }) => seq)).toEqual([8n, 7n, 6n]);
    expect(untilGap.result).toMatchObject({ fromSeq: 5n, toSeq: 8n, reachedOldest: false });
    const around = async (value: bigint) => {
      const anchor = { case: 'aroundSeq', value } as const;
      return (await sync({ user: 'alice', ...ofRoom, anchor, count: 1 })).messages[0]?.seq;
    };
    expect(await Promise.all([4n, 7n, 100n].map(around))).toEqual([6n, 7n, 8n]);
    for (const name of ['room', 'nowhere']) {
      const conversation = { case: 'group', value: name } as const;
      const anchor = { case: 'aroundMessageId', value: 'a3' } as const;
      for (const request of [{ conversation }, { conversation, anchor }]) {
        const stranger = methodsOf(context, callAs('eve')).sync({
          user: 'eve',
          ...request,
        });
        await expect(stranger).rejects.toMatchObject({
          reason: 'NOT_A_MEMBER',
          message: 'The user is no member of the group, or there is no such group.',
        });
      }
    }
  });

  it('let readers page both ways while others write', async () => {
    await appendAll(context.database, chat, numbered('a', 300));
    const write = async () => {
      for (let n = 0; n < 30; n++) await appendAll(context.database, chat, numbered(`w${n}.`, 7));
    };
    const down = async () => {
      const seen: number[] = [];
      for (;;) {
        const anchor = { case: 'beforeSeq', value: BigInt(seen.at(-1) ?? 300) } as const;
        const { messages, result } = await sync({ ...ofChat, anchor, count: 9 });
        seen.push(...messages.map(({ seq }) => Number(seq)));
        if (result?.reachedOldest) return seen;
      }
    };
    const up = async () => {
      const seen: number[] = [];
      while (seen.length < 300 + 30 * 7 - 299) {
        const anchor = { case: 'afterSeq', value: BigInt(seen.at(-1) ?? 299) } as const;
        const { messages } = await sync({
          ...{ ...ofChat, anchor, count: 9, order: Order.OLDEST_FIRST },
        });
        seen.push(...messages.map(({ seq }) => Number(seq)));
      }
      return seen;
    };
    const [older, newer] = await Promise.all([down(), up(), write()]);
    expect(older).toEqual(Array.from({ length: 299 }, (_, n) => 299 - n));
    expect(newer).toEqual(Array.from({ length: 211 }, (_, n) => 300 + n));
  });
});
