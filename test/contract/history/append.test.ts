import { beforeEach, describe, expect, it } from 'vitest';
import { group, pair } from '../../../services/history/domain/conversation.ts';
import { append } from '../../../services/history/store/append.ts';
import type { Database } from '../../../services/history/store/database.ts';
import { readStanding } from '../../../services/history/store/standing.ts';
import { engines, never, opened } from './engines.ts';
import { appendAll, encoded, numbered, readAll, rulesOf, textOf } from './messages.ts';

describe.each(engines)('appending: %s', (_name, open) => {
  const chat = pair('alice', 'bob');
  let database: Database;

  beforeEach(async () => {
    database = (await opened(open)).database;
  });

  it('numbers messages 1, 2, 3, … in the order given', async () => {
    const placed = await appendAll(database, chat, numbered('a', 3));
    expect(placed.map(({ seq }) => seq)).toEqual([1, 2, 3]);
    const more = await appendAll(database, chat, numbered('b', 2));
    expect(more.map(({ seq }) => seq)).toEqual([4, 5]);
    const stored = await readAll(database, chat);
    expect(stored.map(textOf)).toEqual([
      ...['a says 0', 'a says 1', 'a says 2'],
      ...['b says 0', 'b says 1'],
    ]);
  });

  it('leaves no holes under 32 writers at once', async () => {
    const writers = Array.from({ length: 32 }, async (_, writer) => {
      const seqs: number[] = [];
      for (let round = 0; round < 4; round++) {
        const batch = numbered(`${writer}.${round}.`, 1 + ((writer + round) % 4));
        seqs.push(...(await appendAll(database, chat, batch)).map(({ seq }) => seq));
      }
      expect(seqs).toEqual(seqs.toSorted((a, b) => a - b));
      return seqs;
    });
    const seqs = (await Promise.all(writers)).flat().sort((a, b) => a - b);
    expect(seqs).toEqual(seqs.map((_, index) => index + 1));
    expect((await readAll(database, chat)).map(({ seq }) => seq)).toEqual(seqs);
  });

  it('adds nothing for a repeat, and answers with its place', async () => {
    const batch = numbered('a', 3);
    await appendAll(database, chat, batch);
    await appendAll(database, chat, numbered('b', 1));
    const again = await appendAll(database, chat, [...batch, ...numbered('c', 1)]);
    expect(again).toEqual([
      { seq: 1, sentAtMs: 0n, repeated: true },
      { seq: 2, sentAtMs: 1n, repeated: true },
      { seq: 3, sentAtMs: 2n, repeated: true },
      { seq: 5, sentAtMs: 0n, repeated: false },
    ]);
    const onceMore = await appendAll(database, chat, batch);
    expect(onceMore.map(({ repeated }) => repeated)).toEqual([true, true, true]);
    expect(await readAll(database, chat)).toHaveLength(5);
  });

  it('knows repeats within one batch, and within several joined ones', async () => {
    const [a, b] = numbered('a', 2);
    const outcomes = await append(database, chat, [[a!, b!, a!], [b!]], rulesOf());
    expect(outcomes.map(({ placed }) => placed?.map(({ seq }) => seq))).toEqual([[1, 2, 1], [2]]);
    expect(await readAll(database, chat)).toHaveLength(2);
  });

  it('stores nothing of a batch with another message under a known id', async () => {
    await appendAll(database, chat, numbered('a', 2));
    const other = encoded({ id: 'a1', sender: 'alice', sentAtMs: 1n, content: { text: 'other' } });
    const outcomes = await append(
      database,
      chat,
      [[...numbered('b', 2), ...other], numbered('c', 1), other],
      rulesOf(),
    );
    expect(outcomes).toEqual([
      { refused: { why: 'conflict', index: 2 } },
      { placed: [{ seq: 3, sentAtMs: 0n, repeated: false }] },
      { refused: { why: 'conflict', index: 0 } },
    ]);
    expect((await readAll(database, chat)).map(textOf)).toEqual([
      'a says 0',
      'a says 1',
      'c says 0',
    ]);
  });

  it('begins no conversation with a batch that contradicts itself', async () => {
    const contradiction = [...numbered('a', 1), ...numbered('a', 1, 'bob')];
    const room = group('room');
    const outcomes = await append(database, room, [contradiction], rulesOf());
    expect(outcomes).toEqual([{ refused: { why: 'conflict', index: 1 } }]);
    expect(await readStanding(database, room.id, [], never)).toBeUndefined();
  });

  it('lets the same id stand in several conversations', async () => {
    for (const conversation of [chat, pair('alice', 'carol'), group('room')]) {
      expect(await appendAll(database, conversation, numbered('a', 1))).toMatchObject([{ seq: 1 }]);
    }
  });

  it('compares names as bytes', async () => {
    const names = ['Alice', 'alice', 'a', 'a ', 'ä', 'a\u0308', '\u{1f600}', 'ﬁ', 'fi'];
    for (const name of names) {
      const room = group(name);
      await appendAll(database, room, numbered('m', 1, name));
    }
    for (const name of names) {
      const room = group(name);
      expect(await readStanding(database, room.id, [name], never)).toMatchObject({
        conversation: { lastSeq: 1 },
        members: new Map([[name, expect.objectContaining({ intervals: [{ from: 1 }] })]]),
      });
      for (const other of names.filter((other) => other !== name)) {
        expect((await readStanding(database, room.id, [other], never))?.members.size).toBe(0);
      }
    }
  });

  it('compares ids as bytes', async () => {
    const ids = ['x', 'X', 'x ', 'ẋ', 'x\u0307', '\0', '\0\0', 'x'.repeat(128)];
    const batch = encoded(...ids.map((id) => ({ id, sender: 'alice', content: { text: id } })));
    const placed = await appendAll(database, chat, batch);
    expect(placed.map(({ seq }) => seq)).toEqual(ids.map((_, index) => index + 1));
    const again = await appendAll(database, chat, batch.toReversed());
    expect(again.map(({ seq }) => seq)).toEqual(ids.map((_, index) => ids.length - index));
  });

  it('keeps a conversation of a user with themself', async () => {
    const self = pair('alice', 'alice');
    await appendAll(database, self, numbered('a', 2));
    expect(await readStanding(database, self.id, ['alice'], never)).toMatchObject({
      conversation: { lastSeq: 2 },
      members: new Map([['alice', expect.anything()]]),
    });
  });

  it("makes a pair's users members, and a group's senders where it is told to", async () => {
    await appendAll(database, chat, numbered('a', 1));
    for (const user of ['alice', 'bob']) {
      expect((await readStanding(database, chat.id, [user], never))?.members.size).toBe(1);
    }
    const room = group('room');
    await appendAll(database, room, [...numbered('a', 2), ...numbered('c', 1, 'carol')]);
    const strangers = [...numbered('d', 1, 'dave'), ...encoded({ id: 'nobody' })];
    await appendAll(database, room, strangers, { senders: 'any' });
    const members = ['alice', 'carol', 'dave', ''].map(
      async (user) => (await readStanding(database, room.id, [user], never))?.members.size,
    );
    expect(await Promise.all(members)).toEqual([1, 1, 0, 0]);
  });

  it('keeps any 64-bit time, equal and backward ones too', async () => {
    const times = [0n, 1n, -1n, -62_135_596_800_000n, 4_102_444_800_001n, 5n, 5n, 4n];
    times.push(2n ** 53n + 1n, 2n ** 63n - 1n, -(2n ** 63n));
    const batch = encoded(...times.map((sentAtMs, n) => ({ id: `${n}`, sentAtMs })));
    await appendAll(database, chat, batch);
    const again = await appendAll(database, chat, batch);
    expect(again.map(({ sentAtMs }) => sentAtMs)).toEqual(times);
    expect(again.map(({ repeated }) => repeated)).toEqual(times.map(() => true));
  });

  it('keeps bytes that no message has', async () => {
    const bodies = [Buffer.alloc(0), Buffer.from([0xff, 0x00, 0x80]), Buffer.alloc(200_000, 7)];
    const batch = bodies.map((body, n) => ({ ...numbered(`${n}-`, 1)[0]!, body }));
    await appendAll(database, chat, batch);
    const stored = await readAll(database, chat);
    expect(stored.map(({ body }) => Buffer.from(body))).toEqual(bodies);
  });
});
