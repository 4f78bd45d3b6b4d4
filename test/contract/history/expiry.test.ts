import { create, fromBinary } from '@bufbuild/protobuf';
import { beforeEach, describe, expect, it } from 'vitest';
import { DeleteScope } from '../../../clients/gen/backscroll/history/v1/changes_pb.ts';
import {
  Order,
  SyncRequestSchema,
  SyncResponseSchema,
} from '../../../clients/gen/backscroll/history/v1/history_pb.ts';
import type { HistoryContext } from '../../../services/history/context.ts';
import { group, pair } from '../../../services/history/domain/conversation.ts';
import { expire } from '../../../services/history/domain/expire.ts';
import { sync } from '../../../services/history/handlers/sync.ts';
import { FIRST_READ, SWEPT_AT_ONCE } from '../../../services/history/limits.ts';
import { readStanding } from '../../../services/history/store/standing.ts';
import { callAs, methodsOf } from './calls.ts';
import { engines, never, opened } from './engines.ts';
import { appendAll, decoded, encoded, importAll, numbered, readAll, textOf } from './messages.ts';
import { rowsOf, tablesWith } from './raw-rows.ts';
import { sweepAt } from './sweeps.ts';

describe.each(engines)('expiry: %s', (_name, open) => {
  const chat = pair('alice', 'bob');
  const peer = { case: 'peer', value: 'alice' } as const;
  /** Later than any clock of this test's. */
  const soonMs = Date.now() + 1e9;
  const secret = 'what nobody shall know';
  let context: HistoryContext;

  beforeEach(async () => {
    context = await opened(open);
  });

  const expireAt = (nowMs: number) => Array.fromAsync(expire(context.database, nowMs));

  /** Messages that expire at the times given; 0 for never. */
  const expiring = (...times: number[]) =>
    encoded(
      ...times.map((expiresAtMs, n) => ({
        ...{ id: `${n}`, sender: 'alice', sentAtMs: 7n, expiresAtMs: BigInt(expiresAtMs) },
        content: { text: secret, thread: secret },
      })),
    );

  async function floorOf(conversationId: Buffer): Promise<number | undefined> {
    const standing = await readStanding(context.database, conversationId, [], never);
    return standing?.conversation.floorSeq;
  }

  it('leaves what has not expired', async () => {
    await appendAll(context.database, chat, expiring(soonMs, 0));
    expect(await expireAt(soonMs - 1)).toEqual([]);
    expect((await readAll(context.database, chat)).map(textOf)).toEqual([secret, secret]);
  });

  it('removes what was said, and tells nobody of it', async () => {
    await appendAll(context.database, chat, expiring(soonMs));
    expect(await expireAt(soonMs)).toEqual([1]);
    expect(await tablesWith(context.database, secret)).toEqual([]);
    const [message] = await readAll(context.database, chat);
    expect(message).toMatchObject({ seq: 1, editedAtMs: 0, deletedAtMs: 0, revision: 0 });
    const kept = { id: '0', sender: 'alice', sentAtMs: 7n, expiresAtMs: BigInt(soonMs) };
    expect(decoded(message!)).toMatchObject(kept);
    expect(decoded(message!).content).toBeUndefined();
    expect(await rowsOf(context.database, 'change_log', chat.id)).toEqual([]);
    expect(await expireAt(soonMs)).toEqual([]);
  });

  it('knows a repeat of what has expired', async () => {
    await appendAll(context.database, chat, expiring(soonMs));
    await expireAt(soonMs);
    const other = encoded({ id: '0', sender: 'alice', content: { text: 'other' } });
    expect(await appendAll(context.database, chat, other)).toMatchObject([
      { seq: 1, repeated: true },
    ]);
  });

  it('takes what has expired for removed before it is', async () => {
    const past = (text: string) => ({
      ...{ id: '0', sender: 'alice', expiresAtMs: 10n, content: { text } },
    });
    await appendAll(context.database, chat, encoded(past('first')));
    const [again] = await appendAll(context.database, chat, encoded(past('other')));
    expect(again).toMatchObject({ seq: 1, repeated: true });
  });

  it('is looked at once more before a slow reader is sent what it is about', async () => {
    const later = Date.now() + 1_000_000;
    await appendAll(context.database, chat, numbered('a', FIRST_READ.rows));
    await appendAll(context.database, chat, [...expiring(later), ...numbered('b', 5)]);
    let nowMs = later - 1;
    const parts = { ...context, nowMs: () => nowMs };
    const request = create(SyncRequestSchema, {
      ...{ user: 'bob', conversation: peer, count: 1_000, order: Order.OLDEST_FIRST },
    });
    const seqs: number[] = [];
    let told = 0n;
    for await (const bytes of sync(parts, request, callAs())) {
      // The first piece is on its way, and the next was read.
      nowMs = later;
      await sweepAt(context, later);
      const { messages, result } = fromBinary(SyncResponseSchema, bytes);
      for (const { seq, content } of messages) {
        expect(content).toBeDefined();
        seqs.push(Number(seq));
      }
      told = result?.count ?? told;
    }
    const expired = FIRST_READ.rows + 1;
    const all = Array.from({ length: expired + 5 }, (_, n) => n + 1);
    expect(seqs).toEqual(all.filter((seq) => seq !== expired));
    expect(told).toBe(BigInt(seqs.length));
  });

  it('leaves the tombstone of a deleted message as it is', async () => {
    await appendAll(context.database, chat, expiring(soonMs, 0));
    const request = { user: 'alice', conversation: { ...peer, value: 'bob' }, seqs: [1n] };
    await methodsOf(context).delete({ ...request, scope: DeleteScope.FOR_EVERYONE });
    const before = await readAll(context.database, chat);
    expect(await expireAt(soonMs)).toEqual([1]);
    expect(await readAll(context.database, chat)).toEqual(before);
  });

  it('goes through any number of messages in many conversations', async () => {
    const rooms = Array.from({ length: 3 }, (_, n) => group(`room ${n}`));
    const times = Array.from({ length: SWEPT_AT_ONCE }, (_, n) => (n % 5 === 0 ? 0 : soonMs + n));
    for (const room of rooms) await importAll(context.database, room, expiring(...times));
    const steps = await expireAt(soonMs + SWEPT_AT_ONCE);
    expect(Math.max(...steps)).toBeLessThanOrEqual(SWEPT_AT_ONCE);
    expect(steps.reduce((sum, step) => sum + step)).toBe((rooms.length * SWEPT_AT_ONCE * 4) / 5);
    for (const room of rooms) {
      const texts = (await readAll(context.database, room)).map(textOf);
      expect(texts).toEqual(times.map((time) => (time === 0 ? secret : undefined)));
    }
  });

  it('raises the floor over what has expired at the bottom, and no further', async () => {
    await appendAll(context.database, chat, expiring(soonMs, soonMs + 5, 0, soonMs, soonMs + 9));
    await sweepAt(context, soonMs + 5);
    expect(await floorOf(chat.id)).toBe(3);
    expect(await rowsOf(context.database, 'message', chat.id)).toHaveLength(3);
    const expiries = await rowsOf(context.database, 'expiry', chat.id);
    expect(expiries.map(([, seq, , swept]) => [seq, swept])).toEqual([
      [4, 1],
      [5, 0],
    ]);
    const later = { ...context, database: context.database, nowMs: () => soonMs + 5 };
    const { messages, result } = await methodsOf(later).sync({ user: 'bob', conversation: peer });
    expect(messages.map(({ seq }) => seq)).toEqual([5n, 3n]);
    expect(result).toMatchObject({ floorSeq: 3n, reachedOldest: true });
  });
});
