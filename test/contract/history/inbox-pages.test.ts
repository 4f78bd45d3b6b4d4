import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { MemberState } from '../../../clients/gen/backscroll/history/v1/inbox_pb.ts';
import { group } from '../../../services/history/domain/conversation.ts';
import { INBOX_SLACK_MS } from '../../../services/history/limits.ts';
import type { Database } from '../../../services/history/store/database.ts';
import type { Conversation } from '../../../services/history/store/model.ts';
import { engines, opened } from './engines.ts';
import { inboxMethods, nameOf } from './inbox.ts';
import { addConversations, addMember, addRoom, addRows } from './raw-rows.ts';

const NOW_MS = 10_000_000;

describe.each(engines)("the inbox's pages: %s", (_name, open) => {
  let database: Database;

  beforeEach(async () => {
    database = (await opened(open)).database;
  });

  const inbox = () => inboxMethods({ database, nowMs: () => NOW_MS });

  it('misses nothing, however conversations rise between pages', async () => {
    let made = 0;
    const plans = fc.record({
      times: fc.array(fc.nat(20), { minLength: 1, maxLength: 12 }),
      pageSize: fc.integer({ min: 1, max: 5 }),
      rises: fc.array(fc.array(fc.tuple(fc.nat(11), fc.nat(30)), { maxLength: 3 })),
    });
    await fc.assert(
      fc.asyncProperty(plans, async ({ times, pageSize, rises }) => {
        const user = `user ${made++}`;
        const rooms = times.map((_, n) => group(`${user}'s ${n}`));
        for (const [n, room] of rooms.entries()) {
          await addConversations(database, [room], 1, { last_sent_at_ms: times[n]! });
          await addMember(database, [room], user);
        }
        const risen = new Set<string>();
        const pages = await inbox().pages({ user, pageSize }, async () => {
          for (const [n, atMs] of rises.shift() ?? []) {
            const room = rooms[n % rooms.length]!;
            risen.add(room.names[0]!);
            await rise(database, room, atMs);
          }
        });
        const given = pages.flatMap(({ conversations }) => conversations.map(nameOf));
        expect(new Set(given)).toEqual(new Set(rooms.map(({ names }) => names[0])));
        const twice = given.filter((name, n) => given.indexOf(name) < n);
        expect(twice.filter((name) => !risen.has(name))).toEqual([]);
        expect(pages.slice(0, -1).every(({ conversations }) => conversations.length > 0)).toBe(
          true,
        );
      }),
      { numRuns: 25 },
    );
  });

  it('gives what rose or changed since the first page once more, as it then stands', async () => {
    for (let n = 0; n < 6; n++)
      await addRoom(database, 'bob', `${n}`, 1, {
        conversation: { last_sent_at_ms: 100 - n },
      });
    let turn = 0;
    const pages = await inbox().pages({ user: 'bob', pageSize: 2 }, async () => {
      if (turn++ > 0) return;
      await rise(database, group('0'), 500);
      await rise(database, group('5'), 400);
      const conversation = { case: 'group', value: '1' } as const;
      await inbox().markRead({ user: 'bob', conversation, seq: 1n });
    });
    const all = pages.flatMap(({ conversations }) => conversations);
    expect(all.slice(0, 5).map(nameOf)).toEqual(['0', '1', '2', '3', '4']);
    const more = new Map(all.slice(5).map((one) => [nameOf(one), one]));
    expect([...more.keys()].sort()).toEqual(['0', '1', '5']);
    expect(more.get('5')).toMatchObject({ lastSeq: 2n });
    expect(more.get('1')).toMatchObject({ marks: { readSeq: 1n }, unreadCount: 0 });
    expect(new Set(pages.map(({ userRevision }) => userRevision))).toEqual(new Set([0n]));
    expect(await inbox().names({ user: 'bob', sinceUserRevision: 0n })).toEqual([['1']]);
  });

  it('lists what changed since a user revision, in the order in which it did', async () => {
    const member = { role: 1 };
    await addRoom(database, 'bob', 'read', 5, { member });
    await addRoom(database, 'bob', 'unchanged', 5, { member });
    await addRoom(database, 'bob', 'left', 5, {
      member: { role: 0, intervals: Buffer.from('[[1,3]]') },
    });
    await addRoom(database, 'bob', 'deleted', 5, { conversation: { deleted_at_ms: 1 } });
    const changed = ['left', 'deleted', 'read'];
    for (const [n, name] of changed.entries()) {
      await setRevision(database, 'bob', group(name), n + 1);
    }
    const { conversations, userRevision } = await inbox().list({
      ...{ user: 'bob', sinceUserRevision: 0n },
    });
    expect(userRevision).toBe(3n);
    expect(conversations).toMatchObject([
      { conversation: { value: 'left' }, state: MemberState.FORMER, userRevision: 1n },
      { conversation: { value: 'deleted' }, state: MemberState.GONE, userRevision: 2n },
      { conversation: { value: 'read' }, state: MemberState.MEMBER, userRevision: 3n },
    ]);
    expect(conversations[1]).toMatchObject({ lastSeq: 0n, floorSeq: 0n, title: '' });
    expect(await inbox().names({ user: 'bob', sinceUserRevision: 1n })).toEqual([
      ['deleted', 'read'],
    ]);
    expect(await inbox().names({ user: 'bob', sinceUserRevision: 3n })).toEqual([[]]);
    for (const sinceUserRevision of [4n, 2n ** 64n - 1n]) {
      const listing = inbox().names({ user: 'bob', sinceUserRevision });
      await expect(listing).rejects.toMatchObject({ reason: 'RESYNC_REQUIRED' });
    }
    expect(await inbox().names({ user: 'bob', sinceUserRevision: 0n, pageSize: 1 })).toEqual(
      changed.map((name) => [name]),
    );
  });

  it('refuses a token that it did not give for the same fields', async () => {
    for (const name of ['a', 'b', 'c']) await addRoom(database, 'bob', name, 1);
    for (const [n, name] of ['a', 'b', 'c'].entries()) {
      await setRevision(database, 'bob', group(name), n + 1);
    }
    const all = { user: 'bob', pageSize: 1 };
    const since = { ...all, sinceUserRevision: 0n };
    const [ofAll, ofSince] = await Promise.all(
      [all, since].map(async (request) => (await inbox().list(request)).nextPageToken),
    );
    const wrong = [
      { ...all, pageToken: 'x' },
      { ...all, pageToken: `${ofAll!.slice(0, -1)}${ofAll!.endsWith('A') ? 'B' : 'A'}` },
      { ...all, pageToken: `${ofAll} ` },
      { ...all, pageToken: ofSince! },
      { ...since, pageToken: ofAll! },
      { ...since, sinceUserRevision: 1n, pageToken: ofSince! },
      { ...all, user: 'alice', pageToken: ofAll! },
    ];
    for (const request of wrong) {
      await expect(inbox().list(request)).rejects.toMatchObject({
        reason: 'INVALID_FIELD',
        fields: [{ field: 'page_token' }],
      });
    }
    expect((await inbox().list({ ...all, pageSize: 7, pageToken: ofAll! })).nextPageToken).toBe('');
  });

  it('brings the size of a page down to its maximum, and has one where none is given', async () => {
    const rooms = Array.from({ length: 1_002 }, (_, n) => group(`${n}`));
    await addConversations(database, rooms, 0);
    await addMember(database, rooms, 'bob');
    const sizes = async (pageSize?: number) => {
      const { conversations, nextPageToken } = await inbox().list({
        ...{ user: 'bob', ...(pageSize && { pageSize }) },
      });
      return [conversations.length, nextPageToken !== ''];
    };
    expect(await sizes()).toEqual([50, true]);
    expect(await sizes(2 ** 32 - 1)).toEqual([1_000, true]);
  });
});

async function rise(database: Database, { id }: Conversation, lastSentAtMs: number): Promise<void> {
  await database.run((session) =>
    session.write(
      `UPDATE conversation SET last_seq = last_seq + 1, last_sent_at_ms = ?, appended_at_ms = ?
       WHERE conversation_id = ?`,
      // As of a replica whose clock is behind as far as may be.
      [lastSentAtMs, NOW_MS - INBOX_SLACK_MS, id],
    ),
  );
}

/** As settling a change leaves it. */
async function setRevision(
  database: Database,
  user: string,
  { id }: Conversation,
  revision: number,
): Promise<void> {
  const name = Buffer.from(user);
  await database.run(async (session) => {
    await session.write(
      'UPDATE membership SET revision = ? WHERE user_name = ? AND conversation_id = ?',
      [revision, name, id],
    );
    await session.write('DELETE FROM account WHERE user_name = ?', [name]);
  });
  await addRows(database, 'account', [{ user_name: name, revision }]);
}
