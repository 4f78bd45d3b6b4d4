import { create, fromBinary } from '@bufbuild/protobuf';
import { beforeEach, describe, expect, it } from 'vitest';
import { DeleteScope } from '../../../clients/gen/backscroll/history/v1/changes_pb.ts';
import {
  SyncRequestSchema,
  SyncResponseSchema,
} from '../../../clients/gen/backscroll/history/v1/history_pb.ts';
import type { HistoryContext } from '../../../services/history/context.ts';
import { group, pair } from '../../../services/history/domain/conversation.ts';
import { retain } from '../../../services/history/domain/retain.ts';
import { sync } from '../../../services/history/handlers/sync.ts';
import { SWEPT_AT_ONCE } from '../../../services/history/limits.ts';
import { KIND, nameColumns } from '../../../services/history/store/model.ts';
import { CONVERSATION } from '../../../services/history/store/tables.ts';
import { callAs, methodsOf } from './calls.ts';
import { engines, opened } from './engines.ts';
import { appendAll, encoded, importAll, numbered } from './messages.ts';
import { rowsOf } from './raw-rows.ts';

describe.each(engines)('retention: %s', (_name, open) => {
  const chat = pair('alice', 'bob');
  const room = group('room');
  const ofChat = { user: 'bob', conversation: { case: 'peer', value: 'alice' } } as const;
  let context: HistoryContext;
  let service: ReturnType<typeof methodsOf>;

  beforeEach(async () => {
    context = await opened(open);
    service = methodsOf(context);
  });

  /** Sweeps at a time; `numbered` messages were sent at 0, 1, 2, … ms. @returns how many went in each step */
  const retainAt = (nowMs: number, retentionMs = 1_000) =>
    Array.fromAsync(retain(context.database, retentionMs, nowMs));

  const keepFor = (conversationId: Buffer, seconds: number) =>
    context.database.run((session) =>
      session.write('UPDATE conversation SET retention_s = ? WHERE conversation_id = ?', [
        ...[seconds, conversationId],
      ]),
    );

  async function seqsOf(conversationId: Buffer): Promise<number[]> {
    const rows = await context.database.run((session) =>
      session.rows<[number]>('SELECT seq FROM message WHERE conversation_id = ? ORDER BY seq', [
        conversationId,
      ]),
    );
    return rows.flat();
  }

  it('keeps everything for ever where nothing else is said', async () => {
    await appendAll(context.database, chat, numbered('a', 3));
    expect(await retainAt(1e15, 0)).toEqual([]);
    expect(await seqsOf(chat.id)).toEqual([1, 2, 3]);
  });

  it('removes what is older, and tells the floor as the oldest end', async () => {
    await appendAll(context.database, chat, numbered('a', 10));
    await retainAt(1_004);
    const { messages, result } = await service.sync(ofChat);
    expect(messages.map(({ seq }) => seq)).toEqual([10n, 9n, 8n, 7n, 6n, 5n]);
    expect(result).toMatchObject({
      ...{ fromSeq: 5n, toSeq: 10n, floorSeq: 5n, lastSeq: 10n },
      ...{ reachedOldest: true, reachedNewest: true },
    });
    const anchor = { case: 'beforeSeq', value: 5n } as const;
    expect((await service.sync({ ...ofChat, anchor })).result).toMatchObject({
      ...{ count: 0n, reachedOldest: true },
    });
    expect(await retainAt(1_004)).toEqual([]);
  });

  it('stops at the first message that is younger, whatever comes behind it', async () => {
    const times = [5n, -(2n ** 63n), 2_000n, 1n, 2n ** 63n - 1n, 0n];
    const batch = encoded(
      ...times.map((sentAtMs, n) => ({ id: `${n}`, sender: 'alice', sentAtMs })),
    );
    await appendAll(context.database, chat, batch);
    await retainAt(1_500);
    expect(await seqsOf(chat.id)).toEqual([3, 4, 5, 6]);
    await retainAt(3_001);
    expect(await seqsOf(chat.id)).toEqual([5, 6]);
  });

  it("goes by a conversation's own retention first", async () => {
    const rooms = [group('longer'), group('shorter'), group('none')];
    for (const conversation of rooms) {
      await appendAll(context.database, conversation, numbered('a', 4));
    }
    const [longer, shorter, none] = rooms.map(({ id }) => id) as [Buffer, Buffer, Buffer];
    await keepFor(longer, 100);
    await keepFor(shorter, 1);
    await retainAt(1_002, 0);
    expect(await seqsOf(shorter)).toEqual([3, 4]);
    expect(await seqsOf(none)).toEqual([1, 2, 3, 4]);
    await retainAt(50_000, 10_000);
    expect(await seqsOf(longer)).toEqual([1, 2, 3, 4]);
    expect(await seqsOf(none)).toEqual([]);
  });

  it('removes a long past in small steps, with all that belonged to it', async () => {
    const old = SWEPT_AT_ONCE + 100;
    const messages = Array.from({ length: old + 200 }, (_, n) => ({
      ...{ id: `${n}`, sender: 'alice', sentAtMs: n < old ? 1n : 5_000n },
      ...{ content: { text: 'x', thread: 'thread' }, expiresAtMs: n % 2 === 0 ? 2n ** 50n : 0n },
    }));
    await importAll(context.database, room, encoded(...messages));
    const ofRoom = { conversation: { case: 'group', value: 'room' } } as const;
    const delete1 = { ...ofRoom, scope: DeleteScope.FOR_EVERYONE, seqs: [1n, 2n, 601n] };
    await service.delete(delete1);
    const hiding = { scope: DeleteScope.FOR_ME, seqs: [3n, 602n] };
    await service.append({ ...ofRoom, messages: [{ sender: 'bob', content: { text: 'y' } }] });
    await service.delete({ ...ofRoom, ...hiding, user: 'bob' });

    expect(await retainAt(5_500)).toEqual([SWEPT_AT_ONCE, 100]);
    const first = BigInt(old + 1);
    const { result } = await service.sync({ ...ofRoom, user: 'bob', count: 1_000 });
    expect(result).toMatchObject({ floorSeq: first, reachedOldest: true });
    for (const [table, column] of Object.entries(placeIn)) {
      const rows = await rowsOf(context.database, table, room.id);
      const places = rows.map((row) => Number(row[column]));
      const lowest = table === 'time_block' ? Math.floor(old / 256) : old + 1;
      expect(Math.min(...places), table).toBeGreaterThanOrEqual(lowest);
      expect(places, table).not.toEqual([]);
    }
    expect(await rowsOf(context.database, 'imported', room.id)).toEqual([[room.id, 1, old + 200]]);
    const changes = await rowsOf(context.database, 'change_log', room.id);
    expect(changes.map(([, revision, seq]) => [revision, seq])).toEqual([
      [1, 601],
      [2, 3],
      [2, 602],
    ]);
  });

  /** Which column of a table holds the seq, or the block. */
  const placeIn = { message: 1, thread: 3, expiry: 1, quiet: 1, hidden: 2, time_block: 1 };

  it('leaves a conversation whose messages are all gone, and goes on with its seqs', async () => {
    await importAll(context.database, chat, numbered('a', 3));
    await retainAt(1e6);
    const empty = await service.sync(ofChat);
    expect(empty.messages).toEqual([]);
    expect(empty.result).toMatchObject({
      ...{ lastSeq: 3n, floorSeq: 4n, reachedOldest: true, reachedNewest: true },
    });
    expect(await rowsOf(context.database, 'imported', chat.id)).toEqual([]);
    const placed = await importAll(context.database, chat, numbered('b', 2));
    expect(placed.map(({ seq }) => seq)).toEqual([4, 5]);
    expect(await rowsOf(context.database, 'imported', chat.id)).toEqual([[chat.id, 1, 5]]);
  });

  it('lets readers page while it sweeps, and they find no hole', async () => {
    const count = 4 * SWEPT_AT_ONCE;
    await appendAll(context.database, chat, numbered('a', count));
    const sweeping = retainAt(1_000 + count - 50);
    const page = async (anchor?: { case: 'beforeSeq'; value: bigint }) =>
      service.sync({ ...ofChat, count: 300, ...(anchor && { anchor }) });
    let { messages, result } = await page();
    const seen = messages.map(({ seq }) => Number(seq));
    while (!result.reachedOldest) {
      ({ messages, result } = await page({ case: 'beforeSeq', value: result.fromSeq }));
      seen.push(...messages.map(({ seq }) => Number(seq)));
    }
    expect((await sweeping).reduce((sum, step) => sum + step)).toBe(count - 50);
    expect(seen).toEqual(seen.map((_, index) => count - index));
    expect(seen.length).toBeGreaterThanOrEqual(50);
    expect(await seqsOf(chat.id)).toHaveLength(50);
  });

  it('ends a page under way at what is left', async () => {
    const count = 5_000;
    await importAll(context.database, chat, numbered('a', count));
    const request = create(SyncRequestSchema, { ...ofChat, count });
    const stream = sync(context, request, callAs());
    const first = fromBinary(SyncResponseSchema, (await stream.next()).value);
    await retainAt(1e6);
    const rest = (await Array.fromAsync(stream)).map((bytes) =>
      fromBinary(SyncResponseSchema, bytes),
    );
    const seqs = [first, ...rest].flatMap(({ messages }) => messages.map(({ seq }) => Number(seq)));
    expect(seqs).toEqual(seqs.map((_, index) => count - index));
    expect(seqs.length).toBeLessThan(count);
    expect(rest.at(-1)!.result).toMatchObject({ count: BigInt(seqs.length), reachedOldest: true });
  });

  it('looks at all conversations, however many there are', async () => {
    const rooms = Array.from({ length: SWEPT_AT_ONCE + 20 }, (_, n) => group(`room ${n}`));
    const begun = rooms.map((room) => [room.id, KIND.group, ...nameColumns(room), 0, 1, 0, 0]);
    await context.database.run((session) => session.insert(CONVERSATION, begun, 'refuse'));
    const ids = rooms.map(({ id }) => id).sort(Buffer.compare);
    for (const id of [ids[0]!, ids[SWEPT_AT_ONCE - 1]!, ids[SWEPT_AT_ONCE]!, ids.at(-1)!]) {
      const conversation = rooms.find((room) => room.id === id)!;
      await appendAll(context.database, conversation, numbered('a', 2));
    }
    expect(await retainAt(1e6)).toEqual([2, 2, 0, 2, 2]);
  });
});
