import { beforeEach, describe, expect, it } from 'vitest';
import {
  HistoryVisibility,
  Role,
} from '../../../clients/gen/backscroll/history/v1/directory_pb.ts';
import { Code } from '../../../services/common/errors.ts';
import type { HistoryContext } from '../../../services/history/context.ts';
import { group } from '../../../services/history/domain/conversation.ts';
import { GROUP, SWEPT_AT_ONCE } from '../../../services/history/limits.ts';
import { purgeGroup } from '../../../services/history/store/groups.ts';
import { removeOldest } from '../../../services/history/store/retention.ts';
import { readStanding } from '../../../services/history/store/standing.ts';
import { BreakingDatabase, Died } from './breaking-database.ts';
import { type Counts, counting } from './counting.ts';
import { actorsIn, invalid, notAMember, roleTooLow } from './directory.ts';
import { engines, never, opened } from './engines.ts';
import { allRows, rowsOf } from './raw-rows.ts';

const { OWNER, MODERATOR, MEMBER } = Role;
describe.each(engines)('members: %s', (_name, open) => {
  const { id } = group('room');
  let context: HistoryContext;
  let as: ReturnType<typeof actorsIn>;

  beforeEach(async () => {
    context = await opened(open);
    as = actorsIn(context, 'room');
    const members = [{ user: 'mod', role: MODERATOR }, { user: 'bob' }];
    await as('owner').create({ members });
  });

  /** Everybody, page by page. */
  async function listed(user = '', pageSize = 0) {
    const members = [];
    for (let pageToken = ''; ; ) {
      const page = await as(user).list({ pageSize, pageToken });
      members.push(...page.members);
      pageToken = page.nextPageToken;
      if (pageToken === '') return members;
    }
  }
  const rolesOf = async () =>
    Object.fromEntries((await listed()).map(({ user, role }) => [user, role]));
  const countOf = async () => (await as().get()).group?.memberCount;
  const memberRow = async (user: string) =>
    (await readStanding(context.database, id, [user], never))?.members.get(user);

  /** The user's own revision, and the one at which something last changed for them in the group. */
  const revisionsOf = (user: string) =>
    context.database.run(async (session) => {
      const name = Buffer.from(user);
      const [account] = await session.rows<[number]>(
        'SELECT revision FROM account WHERE user_name = ?',
        [name],
      );
      const [membership] = await session.rows<[number]>(
        'SELECT revision FROM membership WHERE user_name = ? AND conversation_id = ?',
        [name, id],
      );
      return [account?.[0] ?? 0, membership?.[0] ?? 0];
    });

  describe('adding', () => {
    it('adds who is none, and leaves the others as they are', async () => {
      const counts = await as('mod').add('carol', ['mod', MEMBER], ['dave', MODERATOR], 'bob');
      expect(counts).toMatchObject({ added: 2, memberCount: 5 });
      expect(await rolesOf()).toEqual({
        ...{ owner: OWNER, mod: MODERATOR, bob: MEMBER },
        ...{ carol: MEMBER, dave: MODERATOR },
      });
      expect(await as('mod').add('bob')).toMatchObject({ added: 0, memberCount: 5 });
      expect(await countOf()).toBe(5);
    });

    it('is for moderators and owners, who give at most their own role', async () => {
      await expect(as('bob').add('carol')).rejects.toMatchObject(roleTooLow);
      await expect(as('mod').add('carol', ['dave', OWNER])).rejects.toMatchObject(roleTooLow);
      await expect(as('eve').add('eve')).rejects.toMatchObject(notAMember);
      expect(await countOf()).toBe(3);
      await as('owner').add(['carol', OWNER]);
      await as().add(['dave', OWNER]);
      expect(await rolesOf()).toMatchObject({ carol: OWNER, dave: OWNER });
    });

    it('tells the newcomers, and nobody else', async () => {
      const before = await revisionsOf('bob');
      await as('mod').add('carol', 'bob');
      expect(await revisionsOf('carol')).toEqual([1, 1]);
      expect(await revisionsOf('bob')).toEqual(before);
      expect(await rowsOf(context.database, 'pending', id)).toEqual([]);
    });

    it('tells any number of newcomers in a few transactions', async () => {
      const names = Array.from({ length: GROUP.membersAtOnce }, (_, n) => `user ${n}`);
      const counts: Counts = { statements: 0, transactions: 0, inTransactions: 0 };
      const database = counting(context.database, counts);
      const { appends, nowMs } = context;
      await actorsIn({ database, appends, nowMs }, 'room')().add(...names);
      expect(counts.transactions).toBeLessThanOrEqual(1 + GROUP.membersAtOnce / SWEPT_AT_ONCE);
      expect(counts.inTransactions).toBeLessThanOrEqual(20);
      for (const user of [names[0]!, names[SWEPT_AT_ONCE]!, names.at(-1)!]) {
        expect(await revisionsOf(user)).toEqual([1, 1]);
      }
    });

    it('tells who joins many groups at the same time of each of them', async () => {
      const names = Array.from({ length: 50 }, (_, n) => `user ${n}`);
      const rooms = Array.from({ length: 12 }, (_, n) => actorsIn(context, `room ${n}`));
      for (const room of rooms) await room().create();
      await Promise.all(
        rooms.map((room, n) => room().add(...(n % 2 === 0 ? names : names.toReversed()))),
      );
      const { account, membership } = await allRows(context.database);
      for (const user of names) {
        const isTheirs = ([name]: unknown[]) => Buffer.from(user).equals(name as Buffer);
        expect(account!.filter(isTheirs).map(([, revision]) => revision)).toEqual([rooms.length]);
        const revisions = membership!.filter(isTheirs).map(([, , revision]) => revision);
        expect(new Set(revisions)).toEqual(new Set(rooms.map((_, n) => n + 1)));
      }
    });

    it('stops at as many members as a group may have, all or none', async () => {
      await context.database.run((session) =>
        session.write('UPDATE conversation SET member_count = ? WHERE conversation_id = ?', [
          GROUP.members - 1,
          id,
        ]),
      );
      await expect(as('mod').add('carol', 'dave')).rejects.toMatchObject({
        code: Code.RESOURCE_EXHAUSTED,
        reason: 'TOO_MANY_MEMBERS',
      });
      expect(Object.keys(await rolesOf())).toHaveLength(3);
      expect(await as('mod').add('carol', 'bob')).toMatchObject({ added: 1, memberCount: 100_000 });
      await expect(as('mod').add('dave')).rejects.toMatchObject({ reason: 'TOO_MANY_MEMBERS' });
      expect(await as('mod').add('carol')).toMatchObject({ added: 0 });
    });

    it('refuses what is missing, wrong or too much', async () => {
      const many = Array.from({ length: GROUP.membersAtOnce + 1 }, (_, n) => `${n}`);
      await expect(as('mod').add()).rejects.toMatchObject(invalid('MISSING_FIELD', 'members'));
      await expect(as('mod').add('a', 'a')).rejects.toMatchObject(
        invalid('INVALID_FIELD', 'members[1].user'),
      );
      await expect(as('mod').add('a', '')).rejects.toMatchObject(
        invalid('MISSING_FIELD', 'members[1].user'),
      );
      await expect(as('mod').add(...many)).rejects.toMatchObject(invalid('TOO_LARGE', 'members'));
    });

    it('counts exactly where many add the same at the same time', async () => {
      const names = Array.from({ length: 20 }, (_, n) => `user ${n}`);
      const counts = await Promise.all(
        names.map((_, n) => as('mod').add(...names.slice(0, n + 1).toReversed())),
      );
      expect(counts.reduce((sum, { added }) => sum + added, 0)).toBe(20);
      expect(await countOf()).toBe(23);
      expect(await listed()).toHaveLength(23);
    });
  });

  describe('removing', () => {
    it('removes who is a member, and leaves out who is none', async () => {
      const counts = await as('mod').remove('bob', 'nobody', 'bob');
      expect(counts).toMatchObject({ removed: 1, memberCount: 2 });
      expect(await rolesOf()).toEqual({ owner: OWNER, mod: MODERATOR });
      expect(await as('mod').remove('bob')).toMatchObject({ removed: 0, memberCount: 2 });
      await expect(as('bob').list()).rejects.toMatchObject(notAMember);
      await expect(as('bob').get()).rejects.toMatchObject(notAMember);
      await expect(as('bob').say('bob', 'x')).rejects.toMatchObject(notAMember);
    });

    it('is for moderators among lower roles, for owners among all, and for oneself', async () => {
      await as('owner').add(['mod2', MODERATOR], ['owner2', OWNER], 'carol');
      for (const name of ['mod2', 'owner']) {
        await expect(as('mod').remove('bob', name)).rejects.toMatchObject(roleTooLow);
      }
      await expect(as('bob').remove('carol')).rejects.toMatchObject(roleTooLow);
      await expect(as('bob').remove('nobody')).rejects.toMatchObject(roleTooLow);
      await expect(as('bob').remove('bob', 'carol')).rejects.toMatchObject(roleTooLow);
      await expect(as('eve').remove('eve')).rejects.toMatchObject(notAMember);
      await expect(as('eve').remove('bob')).rejects.toMatchObject(notAMember);
      expect(await countOf()).toBe(6);
      await as('bob').remove('bob');
      await as('mod2').remove('mod2', 'carol');
      await as('owner').remove('owner', 'owner2');
      expect(await rolesOf()).toEqual({ mod: MODERATOR });
      await as().remove('mod');
      expect(await countOf()).toBe(0);
    });

    it('may be repeated by who left, and tells them nothing new', async () => {
      expect(await as('bob').remove('bob')).toMatchObject({ removed: 1, memberCount: 2 });
      await as('mod').add('carol');
      expect(await as('bob').remove('bob')).toMatchObject({ removed: 0, memberCount: 0 });
      await expect(as('bob').remove('bob', 'mod')).rejects.toMatchObject(notAMember);
      await expect(as('bob').remove('mod')).rejects.toMatchObject(notAMember);
    });

    it('tells who left, and keeps when the last message was sent that they saw', async () => {
      await as().say('owner', 'one');
      const [one] = (await as('bob').read()).messages;
      const [before = 0] = await revisionsOf('bob');
      await as('mod').remove('bob');
      expect((await revisionsOf('bob'))[0]).toBe(before + 1);
      expect(await rowsOf(context.database, 'pending', id)).toEqual([]);
      await as().say('owner', 'two');
      expect((await memberRow('bob'))?.leftSentAtMs).toBe(one?.sentAtMs);

      await as('owner').update({ historyVisibility: HistoryVisibility.FROM_JOINING });
      await as('mod').add('bob', 'carol');
      expect((await memberRow('bob'))?.leftSentAtMs).toBe(0n);
      await as('owner').update({ title: 'while bob was there' });
      await as('mod').remove('bob', 'carol');
      await as('owner').update({ title: 'what bob shall not know' });
      expect(await memberRow('bob')).toMatchObject({
        ...{ leftSentAtMs: one?.sentAtMs, leftTitle: 'while bob was there' },
      });
      expect((await memberRow('carol'))?.leftSentAtMs).toBe(0n);

      await as('mod').add('bob');
      await as().say('owner', 'three');
      const three = (await as('bob').read()).messages.at(-1);
      await as('mod').remove('bob');
      expect((await memberRow('bob'))?.leftSentAtMs).toBe(three?.sentAtMs);
    });

    it('refuses what is missing, wrong or too much', async () => {
      const many = Array.from({ length: GROUP.membersAtOnce + 1 }, (_, n) => `${n}`);
      await expect(as().remove()).rejects.toMatchObject(invalid('MISSING_FIELD', 'members'));
      await expect(as().remove('a', '\n')).rejects.toMatchObject(
        invalid('INVALID_FIELD', 'members[1]'),
      );
      await expect(as().remove(...many)).rejects.toMatchObject(invalid('TOO_LARGE', 'members'));
    });

    it('cannot be passed by a message of who leaves', async () => {
      for (let round = 0; round < 10; round++) {
        await as('mod').add('bob');
        const saying = Array.from({ length: 6 }, (_, n) => as('bob').say('bob', `${round}.${n}`));
        const [left, ...said] = await Promise.allSettled([
          as('mod').remove('bob'),
          ...saying,
          ...Array.from({ length: 3 }, (_, n) => as('owner').say('owner', `${round}.${n}`)),
        ]);
        expect(left.status).toBe('fulfilled');
        for (const outcome of said.slice(0, 6)) {
          if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject(notAMember);
        }
        const seen = await as('bob').read();
        const all = await as().read();
        // All that bob said, he sees; and nothing that was said after his leaving.
        const own = (texts: typeof all.messages) => texts.filter(({ sender }) => sender === 'bob');
        expect(own(seen.messages)).toEqual(own(all.messages));
        const intervals = (await memberRow('bob'))?.intervals;
        expect(seen.texts).toEqual(all.texts.slice(0, intervals?.at(-1)?.to ?? 0));
      }
    });
  });

  it('learns no more of what comes, who left, when retention has removed it', async () => {
    await as().say('owner', 'one', 'two');
    await as('mod').remove('bob');
    await as().say('owner', ...Array.from({ length: 8 }, (_, n) => `later ${n}`));
    await context.database.run((session) => removeOldest(session, id, { from: 1, to: 9 }));
    const { texts, result } = await as('bob').read();
    expect(texts).toEqual([]);
    expect(result).toMatchObject({ ...{ fromSeq: 3n, toSeq: 2n }, lastSeq: 2n, floorSeq: 3n });
  });

  it('sees both parts again, who comes back often', async () => {
    await as('owner').update({ historyVisibility: HistoryVisibility.FROM_JOINING });
    const seen: string[] = [];
    for (let round = 0; round < 3; round++) {
      await as('mod').remove('bob');
      await as().say('owner', `missed ${round}`);
      await as('mod').add('bob');
      await as().say('owner', `seen ${round}`);
      seen.push(`seen ${round}`);
      expect((await as('bob').read()).texts).toEqual(seen);
    }
    expect(await memberRow('bob')).toMatchObject({ epoch: 7, role: MEMBER });
  });

  it('is stored also where somebody comes and goes hundreds of times', async () => {
    await as('owner').update({ historyVisibility: HistoryVisibility.FROM_JOINING });
    const intervals = Array.from({ length: GROUP.intervals }, (_, n) => {
      const from = Number.MAX_SAFE_INTEGER - 10_000 + 4 * n;
      return [from, from + 1];
    });
    await context.database.run(async (session) => {
      await session.write(
        'UPDATE member SET intervals = ?, role = 0 WHERE conversation_id = ? AND user_name = ?',
        [Buffer.from(JSON.stringify(intervals)), id, Buffer.from('bob')],
      );
      await session.write('UPDATE conversation SET last_seq = ? WHERE conversation_id = ?', [
        Number.MAX_SAFE_INTEGER - 10,
        id,
      ]);
    });
    await as('mod').add('bob');
    const row = await memberRow('bob');
    expect(row?.intervals).toHaveLength(GROUP.intervals);
    expect(row?.intervals[0]?.from).toBe(intervals[1]![0]);
  });

  describe('listing', () => {
    it('pages through many in the order of their bytes, without former ones', async () => {
      const names = Array.from({ length: 1_994 }, (_, n) => `user ${n}`);
      const odd = ['Bob', 'bob ', 'ä', '😀', '\ue000', 'x'.repeat(255)];
      for (const some of [names.slice(0, 1_000), names.slice(1_000), odd]) await as().add(...some);
      await as().remove('user 7', 'user 8');
      const all = ['owner', 'mod', 'bob', ...names, ...odd]
        .filter((name) => name !== 'user 7' && name !== 'user 8')
        .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
      expect(await countOf()).toBe(2_001);
      for (const size of [0, 7, 100, 101, 999, 1_000, 2 ** 32 - 1]) {
        expect((await listed('bob', size)).map(({ user }) => user)).toEqual(all);
      }
      expect((await as().list()).members).toHaveLength(100);
      expect((await as().list({ pageSize: 9_999 })).members).toHaveLength(1_000);
    });

    it('ends exactly where the page does', async () => {
      const first = await as().list({ pageSize: 2 });
      expect(first.members.map(({ user }) => user)).toEqual(['bob', 'mod']);
      const second = await as().list({ pageSize: 1, pageToken: first.nextPageToken });
      expect(second).toMatchObject({ members: [{ user: 'owner' }], nextPageToken: '' });
      expect(await as().list({ pageSize: 3 })).toMatchObject({ nextPageToken: '' });
    });

    it('tells when members joined, and how far they are', async () => {
      await as('owner').say('owner', 'one', 'two');
      const [bob, mod, owner] = await listed('bob');
      expect(owner).toMatchObject({ role: OWNER, readSeq: 2n, deliveredSeq: 2n });
      expect(bob).toMatchObject({ role: MEMBER, readSeq: 0n, deliveredSeq: 0n });
      expect(mod?.joinedAtMs).toBe((await as().get()).group?.createdAtMs);
    });

    it('takes no token that it did not give for this group', async () => {
      const { nextPageToken } = await as().list({ pageSize: 1 });
      const other = actorsIn(context, 'other');
      await other('bob').create();
      const error = invalid('INVALID_FIELD', 'page_token');
      await expect(other('bob').list({ pageToken: nextPageToken })).rejects.toMatchObject(error);
      for (const pageToken of ['x', `${nextPageToken}A`, nextPageToken.slice(1), '\0', '=']) {
        await expect(as().list({ pageToken })).rejects.toMatchObject(error);
      }
    });
  });

  it('is added, removed and purged all or none, wherever the service dies', async () => {
    const dying = (fails: number | ((sql: string) => boolean)) => {
      const database = new BreakingDatabase(context.database, fails);
      return actorsIn({ database, appends: context.appends, nowMs: Date.now }, 'room');
    };
    const names = ['a', 'b', 'c'];
    const act = async (what: 'add' | 'remove', steps: number) => {
      try {
        await dying(steps)()[what](...names);
        return true;
      } catch (error) {
        if (!(error instanceof Died)) throw error;
        return false;
      }
    };
    for (const what of ['add', 'remove'] as const) {
      for (let steps = 0; !(await act(what, steps)); steps++) {
        const members = await listed();
        const pending = await rowsOf(context.database, 'pending', id);
        expect([3, 6]).toContain(members.length);
        expect(await countOf()).toBe(members.length);
        const done = members.length === (what === 'add' ? 6 : 3);
        // What has to follow is noted with the change, and only with it.
        if (!done) expect(pending).toEqual([]);
        else if (pending.length > 0) expect(pending).toHaveLength(3);
        if (done) await as()[what === 'add' ? 'remove' : 'add'](...names);
        await context.database.run((session) =>
          session.write('DELETE FROM pending WHERE conversation_id = ?', [id]),
        );
      }
    }

    await as().say('owner', 'one', 'two', 'three');
    const before = await revisionsOf('owner');
    const purges = (sql: string) => sql.startsWith('SELECT user_name FROM member');
    await expect(dying(purges)().delete()).rejects.toThrow(Died);
    expect(await rowsOf(context.database, 'member', id)).not.toEqual([]);
    for (let steps = 0; ; steps++) {
      try {
        const database = new BreakingDatabase(context.database, steps);
        while ((await purgeGroup(database, id, 2)) > 0);
        break;
      } catch (error) {
        if (!(error instanceof Died)) throw error;
      }
    }
    expect(await rowsOf(context.database, 'member', id)).toEqual([]);
    expect(await rowsOf(context.database, 'message', id)).toEqual([]);
    const noted = (await rowsOf(context.database, 'pending', id)).map((row) => String(row[2]));
    expect(noted).toEqual(['']);
    const [after = 0] = await revisionsOf('owner');
    expect(after).toBeGreaterThan(before[0]!);
  });
});
