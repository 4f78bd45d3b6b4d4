import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { group, pair } from '../../../services/history/domain/conversation.ts';
import type { HistoryStore, StoredMessage } from '../../../services/history/store/store.ts';
import { engines, never } from './engines.ts';
import { appendAll, encoded, numbered } from './messages.ts';

describe.each(engines)('reading: %s', (_name, open) => {
  const chat = pair('alice', 'bob');
  let stack: AsyncDisposableStack;
  let store: HistoryStore;

  beforeEach(async () => {
    stack = new AsyncDisposableStack();
    store = (await open(stack)).store;
  });
  afterEach(() => stack.disposeAsync());

  const read = async (fromSeq: number, toSeq: number, newestFirst = false, maxBytes = 1e6) =>
    seqs(await store.read(chat.id, { fromSeq, toSeq, newestFirst }, maxBytes, never));

  it('knows nothing of a conversation that never began', async () => {
    expect(await store.standing(chat.id, undefined, never)).toBeUndefined();
    expect(await store.standing(group('room').id, 'alice', never)).toBeUndefined();
    expect(await read(1, 10)).toEqual([]);
  });

  it('tells how a conversation stands', async () => {
    await appendAll(store, chat, numbered('a', 7));
    expect(await store.standing(chat.id, undefined, never)).toEqual({
      lastSeq: 7,
      floorSeq: 1,
      revision: 0,
    });
  });

  it('reads a range in either order, and of it what there is', async () => {
    await appendAll(store, chat, numbered('a', 5));
    expect(await read(2, 4)).toEqual([2, 3, 4]);
    expect(await read(2, 4, true)).toEqual([4, 3, 2]);
    expect(await read(4, 100)).toEqual([4, 5]);
    expect(await read(0, 2, true)).toEqual([2, 1]);
    expect(await read(6, Number.MAX_SAFE_INTEGER)).toEqual([]);
    expect(await read(3, 2)).toEqual([]);
  });

  it('keeps conversations apart', async () => {
    const others = [pair('alice', 'alice'), pair('bob', 'alice2'), group('alice'), group('bob')];
    for (const other of [...others, chat]) await appendAll(store, other, numbered('a', 1));
    expect(await read(0, 10)).toEqual([1]);
  });

  it('stops at the bytes it may give, but never before the first message', async () => {
    const sizes = [10_000, 300, 60_000, 200, 100_000, 9_000, 9_000];
    const batch = encoded(
      ...sizes.map((size, n) => ({ id: `${n}`, content: { text: 'x'.repeat(size) } })),
    );
    await appendAll(store, chat, batch);
    const bytesOf = (some: number[]) =>
      some.reduce((sum, seq) => sum + batch[seq - 1]!.body.length, 0);
    expect(await read(1, 7, false, 1)).toEqual([1]);
    expect(await read(1, 7, false, bytesOf([1, 2]))).toEqual([1, 2]);
    expect(await read(1, 7, false, bytesOf([1, 2, 3]))).toEqual([1, 2, 3]);
    expect(await read(1, 7, false, bytesOf([1, 2, 3]) - 1)).toEqual([1, 2]);
    expect(await read(1, 7, true, bytesOf([7, 6, 5]))).toEqual([7, 6, 5]);
    expect(await read(1, 7, true, 1_000_000)).toEqual([7, 6, 5, 4, 3, 2, 1]);
    const all = { fromSeq: 1, toSeq: 7, newestFirst: false };
    const messages = await store.read(chat.id, all, 1_000_000, never);
    expect(messages.map(({ body }) => Buffer.from(body))).toEqual(batch.map(({ body }) => body));
  });

  it('reads nothing for a signal that has fired', async () => {
    await appendAll(store, chat, numbered('a', 1));
    const signal = AbortSignal.abort(new Error('nobody waits'));
    const range = { fromSeq: 1, toSeq: 1, newestFirst: true };
    await expect(store.read(chat.id, range, 1, signal)).rejects.toThrow('nobody waits');
    await expect(store.standing(chat.id, undefined, signal)).rejects.toThrow('nobody waits');
    expect(store.connectionsInUse).toBe(0);
  });
});

function seqs(messages: readonly StoredMessage[]): number[] {
  return messages.map(({ seq }) => seq);
}
