import { beforeEach, describe, expect, it } from 'vitest';
import { group, pair } from '../../../services/history/domain/conversation.ts';
import type { Database } from '../../../services/history/store/database.ts';
import type { StoredMessage } from '../../../services/history/store/model.ts';
import { read } from '../../../services/history/store/read.ts';
import { readStanding } from '../../../services/history/store/standing.ts';
import { engines, never, opened } from './engines.ts';
import { appendAll, encoded, numbered } from './messages.ts';

describe.each(engines)('reading: %s', (_name, open) => {
  const chat = pair('alice', 'bob');
  let database: Database;

  beforeEach(async () => {
    database = (await opened(open)).database;
  });

  const readSeqs = async (fromSeq: number, toSeq: number, newestFirst = false, maxBytes = 1e6) =>
    seqs(await read(database, chat.id, { fromSeq, toSeq, newestFirst }, maxBytes, never));

  it('knows nothing of a conversation that never began', async () => {
    expect(await readStanding(database, chat.id, [], never)).toBeUndefined();
    expect(await readStanding(database, group('room').id, ['alice'], never)).toBeUndefined();
    expect(await readSeqs(1, 10)).toEqual([]);
  });

  it('tells how a conversation stands', async () => {
    await appendAll(database, chat, numbered('a', 7));
    expect(await readStanding(database, chat.id, [], never)).toMatchObject({
      conversation: { lastSeq: 7, floorSeq: 1, revision: 0 },
    });
  });

  it('reads a range in either order, and of it what there is', async () => {
    await appendAll(database, chat, numbered('a', 5));
    expect(await readSeqs(2, 4)).toEqual([2, 3, 4]);
    expect(await readSeqs(2, 4, true)).toEqual([4, 3, 2]);
    expect(await readSeqs(4, 100)).toEqual([4, 5]);
    expect(await readSeqs(0, 2, true)).toEqual([2, 1]);
    expect(await readSeqs(6, Number.MAX_SAFE_INTEGER)).toEqual([]);
    expect(await readSeqs(3, 2)).toEqual([]);
  });

  it('keeps conversations apart', async () => {
    const others = [pair('alice', 'alice'), pair('bob', 'alice2'), group('alice'), group('bob')];
    for (const other of [...others, chat]) await appendAll(database, other, numbered('a', 1));
    expect(await readSeqs(0, 10)).toEqual([1]);
  });

  it('stops at the bytes it may give, but never before the first message', async () => {
    const sizes = [10_000, 300, 60_000, 200, 100_000, 9_000, 9_000];
    const batch = encoded(
      ...sizes.map((size, n) => ({ id: `${n}`, content: { text: 'x'.repeat(size) } })),
    );
    await appendAll(database, chat, batch);
    const bytesOf = (some: number[]) =>
      some.reduce((sum, seq) => sum + batch[seq - 1]!.body.length, 0);
    expect(await readSeqs(1, 7, false, 1)).toEqual([1]);
    expect(await readSeqs(1, 7, false, bytesOf([1, 2]))).toEqual([1, 2]);
    expect(await readSeqs(1, 7, false, bytesOf([1, 2, 3]))).toEqual([1, 2, 3]);
    expect(await readSeqs(1, 7, false, bytesOf([1, 2, 3]) - 1)).toEqual([1, 2]);
    expect(await readSeqs(1, 7, true, bytesOf([7, 6, 5]))).toEqual([7, 6, 5]);
    expect(await readSeqs(1, 7, true, 1_000_000)).toEqual([7, 6, 5, 4, 3, 2, 1]);
    const all = { fromSeq: 1, toSeq: 7, newestFirst: false };
    const messages = await read(database, chat.id, all, 1_000_000, never);
    expect(messages.map(({ body }) => Buffer.from(body))).toEqual(batch.map(({ body }) => body));
  });

  it('reads nothing for a signal that has fired', async () => {
    await appendAll(database, chat, numbered('a', 1));
    const signal = AbortSignal.abort(new Error('nobody waits'));
    const range = { fromSeq: 1, toSeq: 1, newestFirst: true };
    await expect(read(database, chat.id, range, 1, signal)).rejects.toThrow('nobody waits');
    await expect(readStanding(database, chat.id, [], signal)).rejects.toThrow('nobody waits');
    expect(database.connectionsInUse).toBe(0);
  });
});

function seqs(messages: readonly StoredMessage[]): number[] {
  return messages.map(({ seq }) => seq);
}
