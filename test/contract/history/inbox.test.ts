import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  ListConversationsResponseSchema,
  MemberState,
} from '../../../clients/gen/backscroll/history/v1/inbox_pb.ts';
import { MessageSchema } from '../../../clients/gen/backscroll/history/v1/message_pb.ts';
import { group, pair } from '../../../services/history/domain/conversation.ts';
import type { Database } from '../../../services/history/store/database.ts';
import type { Conversation } from '../../../services/history/store/model.ts';
import { EXPIRY, HIDDEN, IMPORTED, QUIET } from '../../../services/history/store/tables.ts';
import { callAs, methodsOf } from './calls.ts';
import { type Counts, counting } from './counting.ts';
import { engines, opened } from './engines.ts';
import { inboxMethods, nameOf } from './inbox.ts';
import {
  addConversations,
  addMember,
  addRoom as addRoomOf,
  addRows,
  type Row,
} from './raw-rows.ts';

const NOW_MS = 10_000_000;

describe.each(engines)('the inbox: %s', (_name, open) => {
  let context: Awaited<ReturnType<typeof open>>;
  let database: Database;

  beforeEach(async () => {
    context = await opened(open);
    database = context.database;
  });

  const inbox = (over = database) => inboxMethods({ database: over, nowMs: () => NOW_MS });

  /** A group that bob is in, by its rows. */
  const addRoom = (name: string, lastSeq: number, conversation: Row = {}, member: Row = {}) =>
    addRoomOf(database, 'bob', name, lastSeq, { conversation, member });

  async function addMessage({ id }: Conversation, seq: number, text: string, row: Row = {}) {
    const message: MessageInitShape<typeof MessageSchema> = { id: `${seq}`, content: { text } };
    await addRows(database, 'message', [
      {
        conversation_id: id,
        seq,
        ...{ message_id: Buffer.from(`${seq}`), sender: Buffer.from('alice'), sent_at_ms: seq },
        content_hash: Buffer.alloc(16),
        body: Buffer.from(toBinary(MessageSchema, create(MessageSchema, message))),
        ...row,
      },
    ]);
  }

  it('is empty for whoever has no conversations', async () => {
    expect(await inbox().list({ user: 'bob' })).toMatchObject({
      ...{ conversations: [], nextPageToken: '', userRevision: 0n },
    });
  });

  it('tells of a pair and a group all that a new device needs', async () => {
    const methods = methodsOf(context);
    const ofBob = { user: 'bob', conversation: { case: 'peer', value: 'alice' } } as const;
    await methods.append({ ...ofBob, messages: [{ id: '1', sentAtMs: 5n }] });
    const message = { id: '2', sender: 'alice', sentAtMs: 7n, content: { text: 'hi' } };
    await methods.append({ ...ofBob, messages: [message] });
    const member = { role: 2, epoch: 3, intervals: Buffer.from('[[3]]'), read_seq: 5 };
    await addRoom('room', 9, { title: Buffer.from('Room'), revision: 4, floor_seq: 2 }, member);
    await addMessage(group('room'), 9, 'last', { edited_at_ms: 8, revision: 4 });

    const [room, alice] = (await inboxMethods(context).list({ user: 'bob' })).conversations;
    expect(room).toMatchObject({
      conversation: { case: 'group', value: 'room' },
      title: 'Room',
      lastMessage: { seq: 9n, id: '9', content: { text: 'last' }, editedAtMs: 8n, revision: 4n },
      ...{ unreadCount: 4, marks: { readSeq: 5n }, lastSeq: 9n, floorSeq: 3n, revision: 4n },
      ...{ epoch: 3n, userRevision: 0n, state: MemberState.MEMBER },
    });
    expect(room?.peerMarks).toBeUndefined();
    expect(alice).toMatchObject({
      conversation: { case: 'peer', value: 'alice' },
      title: '',
      lastMessage: { ...message, seq: 2n },
      ...{ unreadCount: 1, marks: { readSeq: 1n, deliveredSeq: 1n } },
      ...{ peerMarks: { readSeq: 2n }, lastSeq: 2n, floorSeq: 1n, revision: 0n },
      ...{ epoch: 0n, state: MemberState.UNSPECIFIED },
    });
  });

  it('stands by the newest message in view, ties by an order of their own', async () => {
    const times: [string, Row, Row][] = [
      ['last century', { last_sent_at_ms: -1_000_000_000_000n }, {}],
      ['far ahead', { last_sent_at_ms: 2n ** 62n }, {}],
      ['left', { last_sent_at_ms: 900 }, { role: 0, left_sent_at_ms: 300 }],
      ['nothing yet', { last_sent_at_ms: 900 }, { intervals: Buffer.from('[[10]]') }],
      ['back again', { last_sent_at_ms: 900 }, { intervals: Buffer.from('[[1,3],[10]]') }],
      ['cleared', { last_sent_at_ms: 900 }, { hidden_up_to_seq: 9 }],
      ['gone by', { last_sent_at_ms: 900, floor_seq: 10 }, {}],
      ['soon', { last_sent_at_ms: 600 }, {}],
    ];
    const joined = { 'nothing yet': 500, 'back again': 400, cleared: 200, 'gone by': 100 };
    for (const [name, row, member] of times) {
      const joined_at_ms = joined[name as keyof typeof joined] ?? 0;
      const intervals = Buffer.from(member.role === 0 ? '[[1,5]]' : '[[1]]');
      await addRoom(name, 9, row, { intervals, joined_at_ms, ...member });
    }
    const expected = [
      ...['far ahead', 'soon', 'nothing yet', 'back again', 'left', 'cleared', 'gone by'],
      'last century',
    ];
    expect(await inbox().names({ user: 'bob' })).toEqual([expected]);
    expect((await inbox().names({ user: 'bob', pageSize: 1 })).flat()).toEqual(expected);

    for (let n = 0; n < 9; n++) await addRoom(`same ${n}`, 1, { last_sent_at_ms: 550 });
    const whole = await inbox().names({ user: 'bob' });
    expect((await inbox().names({ user: 'bob', pageSize: 4 })).flat()).toEqual(whole.flat());
  });

  it('shows a former member what they saw, and a deleted group to nobody', async () => {
    const left = { role: 0, intervals: Buffer.from('[[2,4]]'), read_seq: 3, epoch: 2 };
    const leftThen = { left_sent_at_ms: 40, left_title: Buffer.from('then') };
    const now = { last_sent_at_ms: 900, title: Buffer.from('now') };
    await addRoom('left', 9, now, { ...left, ...leftThen });
    for (const seq of [4, 9]) await addMessage(group('left'), seq, `text ${seq}`);
    await addRoom('deleted', 9, { deleted_at_ms: 1 });
    expect((await inbox().list({ user: 'bob' })).conversations).toMatchObject([
      {
        conversation: { value: 'left' },
        lastMessage: { seq: 4n, content: { text: 'text 4' } },
        ...{ lastSeq: 4n, unreadCount: 1, floorSeq: 2n, state: MemberState.FORMER },
        title: 'then',
      },
    ]);
  });

  it('leaves out whom a membership alone names', async () => {
    await addConversations(database, [group('room')], 3);
    for (const name of ['room', 'nowhere']) {
      const row = { user_name: Buffer.from('bob'), conversation_id: group(name).id, revision: 1 };
      await addRows(database, 'membership', [row]);
    }
    await addRows(database, 'account', [{ user_name: Buffer.from('bob'), revision: 1 }]);
    expect(await inbox().names({ user: 'bob' })).toEqual([[]]);
    expect(await inbox().names({ user: 'bob', sinceUserRevision: 0n })).toEqual([[]]);
  });

  it('shows the newest message that is neither hidden nor expired, as it now stands', async () => {
    const room = group('room');
    await addRoom('room', 5_000, { expiring: 1 }, { hides: 1, read_seq: 5_000 });
    await addMessage(room, 7, 'seen', { deleted_at_ms: 12 });
    const name = Buffer.from('bob');
    const hidden = Array.from({ length: 4_993 }, (_, n) => n + 8).filter((seq) => seq % 3 > 0);
    const expired = Array.from({ length: 1_664 }, (_, n) => 3 * n + 9);
    await database.run(async (session) => {
      await session.insert(
        HIDDEN,
        hidden.map((seq) => [room.id, name, seq]),
        'refuse',
      );
      await session.insert(
        EXPIRY,
        expired.map((seq) => [room.id, seq, NOW_MS, 1]),
        'refuse',
      );
      await session.insert(EXPIRY, [[room.id, 7, NOW_MS + 1, 0]], 'refuse');
    });
    const [shown] = (await inbox().list({ user: 'bob' })).conversations;
    expect(shown).toMatchObject({ lastMessage: { seq: 7n, deletedAtMs: 12n }, lastSeq: 5_000n });

    await addRoom('all hidden', 2, {}, { hides: 1 });
    const rows = [1, 2].map((seq) => [group('all hidden').id, name, seq]);
    await database.run((session) => session.insert(HIDDEN, rows, 'refuse'));
    const { conversations } = await inbox().list({ user: 'bob' });
    const allHidden = conversations.find((one) => nameOf(one) === 'all hidden');
    expect(allHidden).toMatchObject({ unreadCount: 0, lastSeq: 2n });
    expect(allHidden?.lastMessage).toBeUndefined();
  });

  it('ends a page early where its messages are large', async () => {
    const sizes = [250_000, 10, 5_000];
    for (let n = 0; n < 36; n++) {
      await addRoom(`${n}`, 1, { last_sent_at_ms: 100 - n });
      await addMessage(group(`${n}`), 1, 'x'.repeat(sizes[n % 3]!));
    }
    const pages = await inbox().pages({ user: 'bob', pageSize: 1_000 });
    const all = pages.flatMap(({ conversations }) => conversations);
    expect(all.map(nameOf)).toEqual(Array.from({ length: 36 }, (_, n) => `${n}`));
    for (const [n, one] of all.entries()) {
      expect(one.lastMessage?.content?.text).toHaveLength(sizes[n % 3]!);
    }
    expect(pages.length).toBeGreaterThan(1);
    for (const page of pages) {
      const bytes = toBinary(ListConversationsResponseSchema, page).length;
      expect(bytes).toBeLessThan(4 * 1024 * 1024);
    }
  });

  it("is the caller's own, and somebody's", async () => {
    const alice = inboxMethods(context, callAs('alice'));
    await expect(alice.list({ user: 'bob' })).rejects.toMatchObject({ reason: 'NOT_THE_CALLER' });
    await expect(inbox().list({})).rejects.toMatchObject({ reason: 'MISSING_FIELD' });
  });

  it('asks for little, however many conversations a page has', async () => {
    const statements = async () => {
      const counts: Counts = { statements: 0, transactions: 0, inTransactions: 0 };
      const request = { user: 'bob', pageSize: 100 };
      const { conversations } = await inbox(counting(database, counts)).list(request);
      expect(conversations).toHaveLength(100);
      expect(counts).toMatchObject({ transactions: 0, inTransactions: 0 });
      return counts.statements;
    };
    const chat = pair('alice', 'bob');
    await addConversations(database, [chat], 50);
    await addMember(database, [chat], 'bob');
    await addMessage(chat, 50, 'last');
    for (let n = 0; n < 120; n++) {
      await addRoom(`${n}`, 30);
      await addMessage(group(`${n}`), 30, 'last');
    }
    // The revision, memberships, their ranks, what a page shows of conversations, and of peers.
    expect(await statements()).toBe(5);

    const rooms = Array.from({ length: 120 }, (_, n) => group(`${n}`).id);
    await database.run(async (session) => {
      await session.insert(
        QUIET,
        rooms.map((id) => [id, 4]),
        'refuse',
      );
      await session.insert(
        IMPORTED,
        rooms.map((id) => [id, 6, 9]),
        'refuse',
      );
      await session.write('UPDATE conversation SET expiring = 1 WHERE conversation_id IN (?)', [
        rooms,
      ]);
      await session.write('UPDATE member SET hides = 1 WHERE conversation_id IN (?)', [rooms]);
    });
    // Of hidden and expiring messages each for the newest, and each narrow table for what is unread.
    expect(await statements()).toBe(5 + 2 + 4);
  });
});
