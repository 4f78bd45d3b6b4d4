import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HistoryContext } from '../../../services/history/context.ts';
import { group, pair } from '../../../services/history/domain/conversation.ts';
import { append } from '../../../services/history/store/append.ts';
import { readStanding } from '../../../services/history/store/standing.ts';
import { callAs, importRuns } from './calls.ts';
import { type Counts, counting } from './counting.ts';
import { actorsIn } from './directory.ts';
import { databases, engines, migrated, never } from './engines.ts';
import { appendAll, encoded, importAll, numbered, readAll, rulesOf, textOf } from './messages.ts';
import { rowsOf, setMember } from './raw-rows.ts';

describe.each(engines)('whose messages are taken: %s', (_name, open) => {
  const chat = pair('alice', 'bob');
  const room = group('room');
  const toRoom = { case: 'group', value: 'room' } as const;
  const notAMember = { code: 7, reason: 'NOT_A_MEMBER' };
  let stack: AsyncDisposableStack;
  let context: HistoryContext;
  let as: ReturnType<typeof actorsIn>;

  beforeEach(async () => {
    stack = new AsyncDisposableStack();
    context = await open(stack);
    as = actorsIn(context, 'room');
  });
  afterEach(() => stack.disposeAsync());

  const create = (...members: string[]) =>
    as().create({ members: members.map((user) => ({ user })) });
  const standing = (conversation = room, ...users: string[]) =>
    readStanding(context.database, conversation.id, users, never);
  const member = async (user: string, conversation = room) =>
    (await standing(conversation, user))?.members.get(user);
  const texts = async (conversation = room) =>
    (await readAll(context.database, conversation)).map(textOf);

  it("takes members' messages alone in a group that was created, and the whole of a batch or none", async () => {
    await create('alice', 'bob');
    const batches = [
      [...numbered('a', 1), ...numbered('b', 1, 'bob')],
      [...numbered('c', 2), ...numbered('eve', 1, 'eve'), ...numbered('d', 1)],
      numbered('e', 1),
      encoded({ id: 'nobody' }),
    ];
    for (const senders of ['members', 'join'] as const) {
      const outcomes = await append(context.database, room, batches, rulesOf({ senders }));
      expect(
        outcomes.map(({ placed, refused }) => refused ?? placed?.map(({ seq }) => seq)),
      ).toEqual([[1, 2], { why: 'notMember', index: 2 }, [3], { why: 'notMember', index: 0 }]);
    }
    expect(await texts()).toEqual(['a says 0', 'b says 0', 'e says 0']);
    expect(await member('eve')).toBeUndefined();
  });

  it('names the message whose sender is no member to a service, and nothing to a user', async () => {
    await create('alice');
    await expect(as().say('eve', 'hi')).rejects.toMatchObject({
      ...notAMember,
      fields: [{ field: 'messages[0].sender' }],
    });
    await as().remove('alice');
    await expect(as('alice').say('alice', 'hi')).rejects.toMatchObject({
      ...notAMember,
      fields: [],
    });
  });

  it('makes no group for a user', async () => {
    await expect(as('alice').say('alice', 'hi')).rejects.toMatchObject(notAMember);
    expect(await standing()).toBeUndefined();
    await as().say('bob', 'hi');
    await expect(as('alice').say('alice', 'hi')).rejects.toMatchObject(notAMember);
    expect(await texts()).toEqual(['hi']);
  });

  it('tells nobody which ids are taken where they may not write', async () => {
    await create('alice');
    await appendAll(context.database, room, numbered('a', 1));
    const batch = encoded({ id: 'a0', sender: 'eve', content: { text: 'other' } });
    expect(await append(context.database, room, [batch], rulesOf())).toEqual([
      { refused: { why: 'notMember', index: 0 } },
    ]);
  });

  it('takes nothing in a group that was deleted', async () => {
    await create('alice');
    await as().say('alice', 'hi');
    await as().delete();
    await expect(as().say('alice', 'hi')).rejects.toMatchObject({
      ...{ code: 9, reason: 'GROUP_DELETED' },
    });
    await expect(as('alice').say('alice', 'hi')).rejects.toMatchObject(notAMember);
    const runs = [{ conversation: toRoom, messages: [{ id: '1' }] }];
    await expect(importRuns(context, runs)).rejects.toMatchObject({ reason: 'GROUP_DELETED' });
    const alice = callAs('alice');
    await expect(importRuns(context, runs, alice)).rejects.toMatchObject(notAMember);
  });

  it('has senders join a group that nobody created, and former members come back', async () => {
    await as().say('alice', '1', '2');
    await as().say('bob', '3');
    expect((await standing())?.conversation).toMatchObject({ memberCount: 2, createdAtMs: 0 });
    await setMember(
      context.database,
      room.id,
      'bob',
      `role = 0, intervals = x'5b5b312c325d5d', epoch = 2`,
    );
    await as().say('bob', '4');
    expect(await member('bob')).toMatchObject({
      ...{ role: 1, intervals: [{ from: 1 }], epoch: 3, readSeq: 4, leftSentAtMs: 0n },
    });
    expect((await as('bob').read()).texts).toEqual(['1', '2', '3', '4']);
  });

  it("raises the sender's own marks, up to their last message of the call", async () => {
    await create('alice', 'bob', 'carol');
    await as().say('alice', '1', '2');
    const batch = [...numbered('b', 1, 'bob'), ...numbered('a', 2), ...numbered('c', 1, 'bob')];
    await appendAll(context.database, room, batch);
    const marks = (user: string) => member(user).then((row) => [row?.readSeq, row?.deliveredSeq]);
    expect(await Promise.all(['alice', 'bob', 'carol'].map(marks))).toEqual([
      ...[
        [5, 5],
        [6, 6],
        [0, 0],
      ],
    ]);
    await setMember(context.database, room.id, 'alice', 'read_seq = 6');
    await appendAll(context.database, room, numbered('a', 2)); // a repeat
    expect(await marks('alice')).toEqual([6, 5]);
  });

  it('raises no marks for what is imported', async () => {
    await importAll(context.database, room, numbered('a', 3));
    await importAll(context.database, chat, numbered('a', 3));
    expect(await member('alice')).toMatchObject({ role: 1, readSeq: 0, deliveredSeq: 0 });
    expect(await member('alice', chat)).toMatchObject({ readSeq: 0, deliveredSeq: 0 });
  });

  it('has new members told of the conversation, and leaves nothing to be done', async () => {
    await as().say('alice', '1');
    await appendAll(context.database, chat, numbered('a', 1));
    await appendAll(context.database, pair('carol', 'carol'), numbered('c', 1, 'carol'));
    for (const [user, conversation] of [
      ...([
        ['alice', room],
        ['alice', chat],
        ['bob', chat],
      ] as const),
      ...([['carol', pair('carol', 'carol')]] as const),
    ]) {
      const [membership] = await membershipsOf(user, conversation.id);
      expect(membership?.[0]).toBeGreaterThan(0);
      expect(await rowsOf(context.database, 'pending', conversation.id)).toEqual([]);
    }
  });

  it('imports from anybody into a group that was created, notes whose they are, and makes none a member', async () => {
    await create('alice');
    const batch = [...numbered('b', 2, 'bob'), ...numbered('a', 1), ...encoded({ id: 'unknown' })];
    await importAll(context.database, room, batch);
    expect((await standing(room, 'alice', 'bob'))?.members.size).toBe(1);
    expect((await standing())?.conversation).toMatchObject({ lastSeq: 4, memberCount: 1 });
    expect(await membershipsOf('bob', room.id)).toEqual([[0]]);
    expect(await membershipsOf('', room.id)).toEqual([]);
  });

  it('makes the rows of a pair again whose user was erased, from the next message on', async () => {
    await appendAll(context.database, chat, numbered('a', 3));
    await context.database.run(async (session) => {
      const erased = [chat.id, Buffer.from('bob')];
      await session.write('DELETE FROM member WHERE conversation_id = ? AND user_name = ?', erased);
      const incomplete = 'UPDATE conversation SET incomplete = 1 WHERE conversation_id = ?';
      await session.write(incomplete, [chat.id]);
    });
    await appendAll(context.database, chat, numbered('b', 1));
    expect(await member('bob', chat)).toMatchObject({ role: 1, intervals: [{ from: 4 }] });
    expect(await member('alice', chat)).toMatchObject({ intervals: [{ from: 1 }], readSeq: 4 });
    expect((await standing(chat))?.conversation.incomplete).toBe(false);
    expect((await membershipsOf('bob', chat.id))[0]?.[0]).toBeGreaterThan(0);
  });

  it('takes any repeat of what was deleted for one', async () => {
    await appendAll(context.database, chat, numbered('a', 2));
    await context.database.run((session) =>
      session.write('UPDATE message SET content_hash = ? WHERE conversation_id = ? AND seq = 2', [
        ...[Buffer.alloc(16), chat.id],
      ]),
    );
    const other = encoded({ id: 'a1', sender: 'alice', content: { text: 'other' } });
    expect(await appendAll(context.database, chat, other)).toMatchObject([
      { seq: 2, repeated: true },
    ]);
    expect(await importAll(context.database, chat, other)).toMatchObject([{ repeated: true }]);
    const first = encoded({ id: 'a0', sender: 'alice', content: { text: 'other' } });
    expect(await append(context.database, chat, [first], rulesOf())).toMatchObject([
      { refused: { why: 'conflict' } },
    ]);
  });

  it('takes four statements for a message of a member', async () => {
    await as().say('alice', '1');
    const counts: Counts = { statements: 0, transactions: 0, inTransactions: 0 };
    const counted = counting(context.database, counts);
    await appendAll(counted, room, numbered('a', 1));
    expect(counts).toEqual({ statements: 0, transactions: 1, inTransactions: 4 });
  });

  function membershipsOf(user: string, conversationId: Buffer) {
    return context.database.run((session) =>
      session.rows<[number]>(
        'SELECT revision FROM membership WHERE user_name = ? AND conversation_id = ?',
        [Buffer.from(user), conversationId],
      ),
    );
  }
});

describe.each(databases)('replicas that append while members come and go: %s', (name, make) => {
  it('take nothing of whoever left', async () => {
    await using stack = new AsyncDisposableStack();
    const url = await make(stack);
    const context = await migrated(stack, url);
    // Two connections that write to one file in one process would keep each other waiting.
    const others = name === 'sqlite' ? [] : [stack.use(new HistoryContext(url, Date.now))];
    const as = actorsIn(context, 'room');
    // Nobody has created the group at first: then a service's messages make members.
    const early = Promise.allSettled(
      [context, ...others].map((replica, at) =>
        actorsIn(replica, 'room')().say(`early${at}`, 'hi'),
      ),
    );
    await as().create({ members: [{ user: 'alice' }] });
    const refused = (await early).filter(({ status }) => status === 'rejected');
    const { memberCount } = (await as().get()).group!;
    expect(memberCount + refused.length).toBe(2 + others.length);

    const until = Promise.withResolvers<void>();
    const writing = [context, ...others].map(async (replica) => {
      const say = () => actorsIn(replica, 'room')('alice').say('alice', 'hi');
      let seq = 0n;
      for (;;) {
        try {
          seq = (await say()).messages[0]!.seq;
          until.resolve();
        } catch (error) {
          expect(error).toMatchObject({ reason: 'NOT_A_MEMBER' });
          return Number(seq);
        }
      }
    });
    await until.promise;
    await as().remove('alice');
    const last = Math.max(...(await Promise.all(writing)));
    await as().add('bob');
    await as().say('bob', 'hi');
    const standing = await readStanding(context.database, group('room').id, ['alice'], never);
    const { conversation, members } = standing!;
    expect(members.get('alice')?.intervals.at(-1)?.to).toBe(conversation.lastSeq - 1);
    expect(last).toBeLessThanOrEqual(conversation.lastSeq - 1);
    expect((await as('alice').read()).messages).toHaveLength(conversation.lastSeq - 1);
  });
});
