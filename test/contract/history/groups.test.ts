import type { MessageInitShape } from '@bufbuild/protobuf';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  type CreateGroupRequestSchema,
  HistoryVisibility,
  Role,
} from '../../../clients/gen/backscroll/history/v1/directory_pb.ts';
import { Code } from '../../../services/common/errors.ts';
import type { HistoryContext } from '../../../services/history/context.ts';
import { group } from '../../../services/history/domain/conversation.ts';
import { purgeGroup } from '../../../services/history/store/groups.ts';
import { TABLES } from '../../../services/history/store/tables.ts';
import { actorsIn, invalid, notAMember, roleTooLow } from './directory.ts';
import { engines, opened } from './engines.ts';

const { OWNER, MODERATOR, MEMBER } = Role;
const exists = { code: Code.ALREADY_EXISTS, reason: 'GROUP_EXISTS' };
const notFound = { code: Code.NOT_FOUND, reason: 'GROUP_NOT_FOUND' };

const refused: readonly [MessageInitShape<typeof CreateGroupRequestSchema>, object][] = [
  [{ group: '' }, invalid('MISSING_FIELD', 'group')],
  [{ title: 'x'.repeat(1025) }, invalid('TOO_LARGE', 'title')],
  [{ historyVisibility: 2 }, invalid('MISSING_FIELD', 'visible_messages')],
  [{ visibleMessages: 1n }, invalid('INVALID_FIELD', 'visible_messages')],
  [{ historyVisibility: 2, visibleMessages: 1_000_001n }, invalid('TOO_LARGE', 'visible_messages')],
  [{ historyVisibility: 9 as HistoryVisibility }, invalid('INVALID_FIELD', 'history_visibility')],
  [{ retentionS: 3_155_760_001n }, invalid('TOO_LARGE', 'retention_s')],
  [{ members: [{}] }, invalid('MISSING_FIELD', 'members[0].user')],
  [
    { members: [{ user: 'a' }, { user: 'a', role: OWNER }] },
    invalid('INVALID_FIELD', 'members[1].user'),
  ],
  [{ members: [{ user: 'a', role: 4 as Role }] }, invalid('INVALID_FIELD', 'members[0].role')],
  [
    { members: Array.from({ length: 1_001 }, (_, n) => ({ user: `u${n}` })) },
    invalid('TOO_LARGE', 'members'),
  ],
];

describe.each(engines)('groups: %s', (_name, open) => {
  let context: HistoryContext;
  let as: ReturnType<typeof actorsIn>;

  beforeEach(async () => {
    context = await opened(open);
    as = actorsIn(context, 'room');
  });

  const rolesOf = async () =>
    Object.fromEntries((await as().list()).members.map(({ user, role }) => [user, role]));

  describe('creating', () => {
    it('makes the creator an owner, and the members what they are named as', async () => {
      const members = [{ user: 'bob' }, { user: 'eve', role: MODERATOR }];
      const given = { title: 'Räum\0e', retentionS: 60n, members };
      const { group } = await as('alice').create(given);
      expect(group).toMatchObject({
        ...{ group: 'room', title: 'Räum\0e', retentionS: 60n, memberCount: 3 },
        ...{ historyVisibility: HistoryVisibility.ALL, visibleMessages: 0n },
      });
      expect(Number(group?.createdAtMs)).toBeGreaterThan(0);
      expect(await rolesOf()).toEqual({ alice: OWNER, bob: MEMBER, eve: MODERATOR });
      expect(await as('bob').get()).toMatchObject({ group, role: MEMBER });
      expect(await as().get()).toMatchObject({ group, role: Role.UNSPECIFIED });
    });

    it('makes nobody an owner for a service', async () => {
      await as().create({ members: [{ user: 'bob' }] });
      expect(await rolesOf()).toEqual({ bob: MEMBER });
    });

    it('answers a repeat with the group as it stands', async () => {
      await as('alice').create({ title: 'x', members: [{ user: 'bob' }] });
      await as('alice').add('carol');
      const before = await as('alice').get();
      for (const user of ['alice', 'bob', '']) {
        const again = await as(user).create({ title: 'x', members: [{ user: 'dave' }] });
        expect(again.group).toEqual(before.group);
      }
      expect(await rolesOf()).toEqual({ alice: OWNER, bob: MEMBER, carol: MEMBER });
    });

    it('refuses a name that is taken, and tells nobody else anything', async () => {
      await as('alice').create({ title: 'x' });
      await expect(as('alice').create({ title: 'y' })).rejects.toMatchObject(exists);
      await expect(as('eve').create({ title: 'x' })).rejects.toMatchObject(exists);
      await expect(as('eve').read()).rejects.toMatchObject(notAMember);
    });

    it('takes over a group that appends brought into being', async () => {
      await as().say('alice', 'one');
      await as().say('bob', 'two');
      expect((await as().get()).group).toMatchObject({ createdAtMs: 0n, memberCount: 2 });
      await expect(as('eve').create()).rejects.toMatchObject(exists);
      const { group } = await as('alice').create({ title: 'x', members: [{ user: 'carol' }] });
      expect(group).toMatchObject({ title: 'x', memberCount: 3 });
      expect(await rolesOf()).toEqual({ alice: OWNER, bob: MEMBER, carol: MEMBER });
      for (const user of ['alice', 'bob', 'carol']) {
        expect((await as(user).read()).texts).toEqual(['one', 'two']);
      }
      await expect(as().say('eve', 'three')).rejects.toMatchObject({ reason: 'NOT_A_MEMBER' });
    });

    it('is done once by many at the same time', async () => {
      const request = { title: 'x', members: [{ user: 'bob' }] };
      await Promise.all(Array.from({ length: 8 }, () => as('alice').create(request)));
      expect((await as().get()).group?.memberCount).toBe(2);
    });

    it('refuses what is missing, wrong or too large', async () => {
      for (const [request, error] of refused) {
        await expect(as('alice').create(request)).rejects.toMatchObject(error);
      }
    });

    it('takes the largest title, retention and count', async () => {
      const settings = { title: 'x'.repeat(1024), retentionS: 3_155_760_000n };
      const shown = { historyVisibility: HistoryVisibility.LAST, visibleMessages: 1_000_000n };
      expect((await as('alice').create({ ...settings, ...shown })).group).toMatchObject({
        ...settings,
        ...shown,
      });
    });
  });

  describe('changing settings', () => {
    beforeEach(() =>
      as('alice').create({ title: 'x', retentionS: 5n, members: [{ user: 'bob' }] }),
    );

    it('changes only what is set', async () => {
      const last = { historyVisibility: HistoryVisibility.LAST, visibleMessages: 7n };
      await as('alice').update(last);
      await as('alice').update({ title: '' });
      const { group } = await as().update({ retentionS: 0n });
      expect(group).toMatchObject({ title: '', retentionS: 0n, memberCount: 2, ...last });
      await as('alice').update({ historyVisibility: HistoryVisibility.FROM_JOINING });
      expect((await as().get()).group?.visibleMessages).toBe(0n);
    });

    it('is for owners', async () => {
      await as('alice').setRole('bob', MODERATOR);
      await expect(as('bob').update({ title: 'y' })).rejects.toMatchObject(roleTooLow);
      await expect(as('eve').update({ title: 'y' })).rejects.toMatchObject(notAMember);
      expect((await as().get()).group?.title).toBe('x');
    });

    it('refuses a count without LAST', async () => {
      const error = invalid('INVALID_FIELD', 'visible_messages');
      await expect(as('alice').update({ visibleMessages: 3n })).rejects.toMatchObject(error);
    });
  });

  describe('roles', () => {
    beforeEach(() => as('alice').create({ members: [{ user: 'bob' }, { user: 'carol' }] }));

    it('are given by owners', async () => {
      await as('alice').setRole('bob', MODERATOR);
      await expect(as('bob').setRole('carol', MODERATOR)).rejects.toMatchObject(roleTooLow);
      await expect(as('bob').setRole('bob', OWNER)).rejects.toMatchObject(roleTooLow);
      await expect(as('eve').setRole('bob', MEMBER)).rejects.toMatchObject(notAMember);
      expect(await rolesOf()).toEqual({ alice: OWNER, bob: MODERATOR, carol: MEMBER });
    });

    it('may leave a group without an owner, and a service makes another', async () => {
      await as('alice').setRole('alice', MEMBER);
      await as('alice').setRole('alice', MEMBER);
      await expect(as('alice').setRole('alice', OWNER)).rejects.toMatchObject(roleTooLow);
      await as().setRole('bob', OWNER);
      expect(await rolesOf()).toEqual({ alice: MEMBER, bob: OWNER, carol: MEMBER });
    });

    it('are for members', async () => {
      await as().remove('carol');
      const error = { code: Code.NOT_FOUND, reason: 'MEMBER_NOT_FOUND' };
      for (const name of ['carol', 'nobody']) {
        await expect(as('alice').setRole(name, OWNER)).rejects.toMatchObject(error);
        await expect(as('bob').setRole(name, OWNER)).rejects.toMatchObject(roleTooLow);
      }
    });

    it('have to be said', async () => {
      const missing = invalid('MISSING_FIELD', 'role');
      await expect(as('alice').setRole('bob', 0)).rejects.toMatchObject(missing);
      const unknown = invalid('INVALID_FIELD', 'role');
      await expect(as('alice').setRole('bob', 7 as Role)).rejects.toMatchObject(unknown);
    });
  });

  describe('deleting', () => {
    beforeEach(async () => {
      await as('alice').create({ title: 'x', members: [{ user: 'bob', role: MODERATOR }] });
      await as('alice').say('alice', ...Array.from({ length: 30 }, (_, n) => `${n}`));
    });

    it('is for owners', async () => {
      await expect(as('bob').delete()).rejects.toMatchObject(roleTooLow);
      await expect(as('eve').delete()).rejects.toMatchObject(notAMember);
      expect((await as('bob').read()).texts).toHaveLength(30);
    });

    it('ends all access at once, as if the group had never been', async () => {
      await as('alice').delete();
      for (const user of ['alice', 'bob', 'eve']) {
        for (const act of [
          () => as(user).read(),
          () => as(user).say(user, 'late'),
          () => as(user).get(),
          () => as(user).list(),
          () => as(user).add('dave'),
          () => as(user).remove(user),
          () => as(user).update({ title: 'y' }),
          () => as(user).setRole('bob', OWNER),
        ]) {
          await expect(act()).rejects.toMatchObject(notAMember);
        }
        await expect(as(user).create({ title: 'x' })).rejects.toMatchObject(exists);
      }
      await expect(as().get()).rejects.toMatchObject(notFound);
      await expect(as().read()).rejects.toMatchObject(notFound);
      await expect(as().create({ title: '' })).rejects.toMatchObject(exists);
    });

    it('may be repeated by who may not have heard of it', async () => {
      await as('alice').delete();
      await as('alice').delete();
      await as().delete();
      await expect(as('bob').delete()).rejects.toMatchObject(notAMember);
      await expect(actorsIn(context, 'never')().delete()).rejects.toMatchObject(notFound);
    });

    it('reserves also the name of a group that nobody created', async () => {
      const appended = actorsIn(context, 'appended');
      await appended().say('alice', 'one');
      await expect(appended('alice').delete()).rejects.toMatchObject(roleTooLow);
      await appended().delete();
      for (const user of ['', 'alice', 'eve']) {
        await expect(appended(user).create()).rejects.toMatchObject(exists);
      }
      await expect(appended().say('alice', 'two')).rejects.toMatchObject({
        reason: 'GROUP_DELETED',
      });
      await expect(appended('alice').read()).rejects.toMatchObject(notAMember);
    });

    it('leaves the name alone, once all is purged', async () => {
      await as('alice').delete();
      const { id } = group('room');
      while ((await purgeGroup(context.database, id, 10)) > 0);
      expect(await purgeGroup(context.database, id, 10)).toBe(0);
      const left = await context.database.run(async (session) => {
        const counts: Record<string, unknown> = {};
        for (const { name, key } of TABLES.filter(({ key }) => key[0] === 'conversation_id')) {
          const where = `WHERE ${key[0]} = ?`;
          const rows = await session.rows(`SELECT 1 FROM ${name} ${where} LIMIT 100`, [id]);
          if (rows.length > 0) counts[name] = rows.length;
        }
        return counts;
      });
      expect(left).toEqual({ conversation: 1, pending: 1 });
      await expect(as('alice').create({ title: 'x' })).rejects.toMatchObject(exists);
      await expect(as('alice').read()).rejects.toMatchObject(notAMember);
    });
  });
});
