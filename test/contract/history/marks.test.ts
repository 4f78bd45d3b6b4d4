import { beforeEach, describe, expect, it } from 'vitest';
import { group, pair } from '../../../services/history/domain/conversation.ts';
import type { Database } from '../../../services/history/store/database.ts';
import { callAs, methodsOf } from './calls.ts';
import { type Counts, counting } from './counting.ts';
import { engines, opened } from './engines.ts';
import { inboxMethods } from './inbox.ts';
import { addConversations, addMember, rowsOf } from './raw-rows.ts';

describe.each(engines)('marking: %s', (_name, open) => {
  const chat = pair('alice', 'bob');
  const ofBob = { user: 'bob', conversation: { case: 'peer', value: 'alice' } } as const;
  const inRoom = { user: 'bob', conversation: { case: 'group', value: 'room' } } as const;
  let context: Awaited<ReturnType<typeof open>>;
  let database: Database;

  beforeEach(async () => {
    context = await opened(open);
    database = context.database;
  });

  const methods = () => inboxMethods(context);

  async function read(seq: bigint) {
    const { marks } = await methods().markRead({ ...ofBob, seq });
    return [marks?.readSeq, marks?.deliveredSeq];
  }

  async function delivered(seq: bigint) {
    const { marks } = await methods().markDelivered({ ...ofBob, seq });
    return [marks?.readSeq, marks?.deliveredSeq];
  }

  async function revision() {
    return (await methods().list({ user: 'bob' })).userRevision;
  }

  async function speak(lastSeq: number) {
    await addConversations(database, [chat], lastSeq);
    await addMember(database, [chat], 'alice');
    await addMember(database, [chat], 'bob');
  }

  it('only raises marks, and reading delivers', async () => {
    await speak(10);
    expect(await delivered(7n)).toEqual([0n, 7n]);
    expect(await read(5n)).toEqual([5n, 7n]);
    expect(await read(4n)).toEqual([5n, 7n]);
    expect(await delivered(1n)).toEqual([5n, 7n]);
    expect(await read(9n)).toEqual([9n, 9n]);
    expect(await read(0n)).toEqual([9n, 9n]);
  });

  it('marks nothing beyond the newest message that the user may see', async () => {
    await speak(3);
    expect(await delivered(2n ** 64n - 1n)).toEqual([0n, 3n]);
    expect(await read(4n)).toEqual([3n, 3n]);

    const room = group('room');
    await addConversations(database, [room], 100);
    const left = { role: 0, intervals: Buffer.from('[[5,9],[20,30]]') };
    await addMember(database, [room], 'bob', left);
    const { marks } = await methods().markRead({ ...inRoom, seq: 90n });
    expect(marks).toMatchObject({ readSeq: 30n, deliveredSeq: 30n });
  });

  it('leaves marks at 0 where two users never spoke', async () => {
    expect(await read(5n)).toEqual([0n, 0n]);
    expect(await delivered(5n)).toEqual([0n, 0n]);
    expect((await methods().list({ user: 'bob' })).conversations).toEqual([]);
  });

  it("raises the user's revision with each read mark that rises, and with nothing else", async () => {
    await speak(10);
    expect(await revision()).toBe(0n);
    await read(5n);
    expect(await revision()).toBe(1n);
    await read(5n);
    await read(2n);
    await delivered(8n);
    expect(await revision()).toBe(1n);
    await read(6n);
    const { conversations } = await methods().list({ user: 'bob', sinceUserRevision: 1n });
    expect(conversations).toMatchObject([
      { userRevision: 2n, marks: { readSeq: 6n, deliveredSeq: 8n }, unreadCount: 4 },
    ]);
    expect(await rowsOf(database, 'pending', chat.id)).toEqual([]);
  });

  it('costs little, and next to nothing where no mark rises', async () => {
    await speak(10);
    const costs = async (seq: bigint) => {
      const counts: Counts = { statements: 0, transactions: 0, inTransactions: 0 };
      const over = inboxMethods({ nowMs: context.nowMs, database: counting(database, counts) });
      await over.markRead({ ...ofBob, seq });
      return counts;
    };
    expect(await costs(5n)).toEqual({ statements: 2, transactions: 2, inTransactions: 6 });
    expect(await costs(5n)).toEqual({ statements: 1, transactions: 0, inTransactions: 0 });
  });

  it("shows each of a pair the other's marks", async () => {
    await speak(10);
    await read(4n);
    await methods().markDelivered({
      ...{ user: 'alice', conversation: { case: 'peer', value: 'bob' }, seq: 9n },
    });
    const [bobs] = (await methods().list({ user: 'bob' })).conversations;
    const [alices] = (await methods().list({ user: 'alice' })).conversations;
    expect(bobs?.peerMarks).toMatchObject({ readSeq: 0n, deliveredSeq: 9n });
    expect(alices?.peerMarks).toMatchObject({ readSeq: 4n, deliveredSeq: 4n });
    const { result } = await methodsOf(context).sync({ ...ofBob });
    expect(result).toMatchObject({ marks: bobs?.marks, peerMarks: bobs?.peerMarks });
  });

  it('marks nothing for who only reads', async () => {
    const methods = methodsOf(context);
    const messages = [{ id: '1', sender: 'alice' }];
    await methods.append({ ...ofBob, messages });
    for (let n = 0; n < 2; n++) {
      const { result } = await methods.sync(ofBob);
      expect(result.marks).toMatchObject({ readSeq: 0n, deliveredSeq: 0n });
      const { conversations } = await inboxMethods(context).list({ user: 'bob' });
      expect(conversations).toMatchObject([{ unreadCount: 1, marks: { deliveredSeq: 0n } }]);
    }
  });

  it('knows the conversation with oneself', async () => {
    const withSelf = { user: 'bob', conversation: { case: 'peer', value: 'bob' } } as const;
    const id = pair('bob', 'bob');
    await addConversations(database, [id], 10);
    await addMember(database, [id], 'bob');
    await inboxMethods(context).markRead({ ...withSelf, seq: 4n });
    const marks = { readSeq: 4n, deliveredSeq: 4n };
    expect((await inboxMethods(context).list({ user: 'bob' })).conversations).toMatchObject([
      { conversation: withSelf.conversation, marks, peerMarks: marks, unreadCount: 6 },
    ]);
  });

  it('ends at the highest mark when many devices mark at once', async () => {
    await speak(100);
    const seqs = Array.from({ length: 40 }, (_, n) => 1 + ((n * 37) % 97));
    await Promise.all(seqs.map((seq) => (seq % 2 ? read(BigInt(seq)) : delivered(BigInt(seq)))));
    const highest = (parity: number) => Math.max(...seqs.filter((seq) => seq % 2 === parity));
    const readSeq = highest(1);
    expect(await read(0n)).toEqual([BigInt(readSeq), BigInt(Math.max(readSeq, highest(0)))]);
    expect(await rowsOf(database, 'pending', chat.id)).toEqual([]);
  });

  it('refuses whoever is no member alike, whether or not there is a group', async () => {
    await addConversations(database, [group('room')], 10);
    const errors = await Promise.all(
      ['room', 'nowhere'].map((value) =>
        methods()
          .markRead({ user: 'bob', conversation: { case: 'group', value }, seq: 1n })
          .catch(({ code, reason, message }) => ({ code, reason, message })),
      ),
    );
    expect(errors[0]).toMatchObject({ reason: 'NOT_A_MEMBER' });
    expect(errors[1]).toEqual(errors[0]);
  });

  it('marks for users themselves alone, and needs one', async () => {
    await speak(10);
    const alice = inboxMethods(context, callAs('alice'));
    await expect(alice.markRead({ ...ofBob, seq: 1n })).rejects.toMatchObject({
      reason: 'NOT_THE_CALLER',
    });
    for (const conversation of [inRoom.conversation, ofBob.conversation]) {
      const nobody = methods().markDelivered({ conversation, seq: 1n });
      await expect(nobody).rejects.toMatchObject({
        reason: 'MISSING_FIELD',
        fields: [{ field: 'user' }],
      });
    }
  });
});
