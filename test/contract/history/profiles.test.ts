import { create } from '@bufbuild/protobuf';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  ProfileSchema,
  PutProfilesRequestSchema,
} from '../../../clients/gen/backscroll/history/v1/directory_pb.ts';
import type { HistoryContext } from '../../../services/history/context.ts';
import { putProfiles } from '../../../services/history/handlers/put-profiles.ts';
import { PROFILE } from '../../../services/history/limits.ts';
import { callAs } from './calls.ts';
import { invalid, profilesOf } from './directory.ts';
import { engines, opened } from './engines.ts';

describe.each(engines)('profiles: %s', (_name, open) => {
  let context: HistoryContext;
  let service: ReturnType<typeof profilesOf>;

  beforeEach(async () => {
    context = await opened(open);
    service = profilesOf(context);
  });

  it('come back as they were put, whole, in the order asked for, each once', async () => {
    const odd = {
      user: 'Ａ ',
      displayName: '\0\u2028😀',
      attributes: { '😀"\n': '\0' },
    };
    await service.put(odd, { user: 'a', avatarUrl: 'x:' }, { user: 'A', displayName: 'Big' });
    const found = await service.get(['A', 'a', 'nobody', 'Ａ ', 'A', 'Ａ']);
    expect(found).toEqual(
      [{ user: 'A', displayName: 'Big' }, { user: 'a', avatarUrl: 'x:' }, odd].map((profile) =>
        create(ProfileSchema, { ...profile, updatedAtMs: expect.any(BigInt) }),
      ),
    );
  });

  it('are replaced whole', async () => {
    await service.put({ user: 'a', displayName: 'x', attributes: { k: 'v' } });
    await service.put({ user: 'a', avatarUrl: 'y', updatedAtMs: 7n });
    const [profile] = await service.get(['a']);
    expect(profile).toMatchObject({ displayName: '', avatarUrl: 'y', attributes: {} });
  });

  it('tell what changed since, also where the clock stands still or goes back', async () => {
    const put = (nowMs: number, ...users: string[]) =>
      putProfiles(
        { database: context.database, nowMs: () => nowMs },
        create(PutProfilesRequestSchema, { profiles: users.map((user) => ({ user })) }),
        callAs(),
      );
    const times = async (sinceMs: bigint) =>
      Object.fromEntries(
        (await service.get(['a', 'b'], sinceMs)).map(({ user, updatedAtMs }) => [
          user,
          updatedAtMs,
        ]),
      );
    await put(1_000, 'a', 'b');
    expect(await times(0n)).toEqual({ a: 1_000n, b: 1_000n });
    expect(await times(999n)).toEqual({ a: 1_000n, b: 1_000n });
    expect(await times(1_000n)).toEqual({});
    await put(1_000, 'a');
    expect(await times(1_000n)).toEqual({ a: 1_001n });
    await put(500, 'a');
    expect(await times(1_001n)).toEqual({ a: 1_002n });
    await put(2_000, 'a', 'b');
    expect(await times(1_999n)).toEqual({ a: 2_000n, b: 2_000n });
    expect(await times(2n ** 62n)).toEqual({});
    expect(await times(-5n)).toEqual({ a: 2_000n, b: 2_000n });
  });

  it('are put by their users alone, and got by anybody', async () => {
    const eve = profilesOf(context, 'eve');
    await eve.put({ user: 'eve', displayName: 'E' });
    const notTheCaller = { reason: 'NOT_THE_CALLER' };
    await expect(eve.put({ user: 'bob' })).rejects.toMatchObject(notTheCaller);
    await expect(eve.put({ user: 'eve' }, { user: 'bob' })).rejects.toMatchObject(notTheCaller);
    expect(await profilesOf(context, 'bob').get(['eve', 'bob'])).toMatchObject([
      { displayName: 'E' },
    ]);
  });

  it('hold as much as they may', async () => {
    const attributes = Object.fromEntries(
      Array.from({ length: 64 }, (_, n) => [`${n}`.padEnd(128, 'k'), 'v'.repeat(4_096)]),
    );
    const largest = { displayName: 'ä'.repeat(512), avatarUrl: 'x'.repeat(4_096), attributes };
    const users = Array.from({ length: 12 }, (_, n) => `u${n}`);
    for (const user of users) await service.put({ user, ...largest });
    expect(await service.get(['u3'])).toMatchObject([{ user: 'u3', ...largest }]);
    expect(await service.get(users.slice(0, 11))).toHaveLength(11);
    await expect(service.get(users)).rejects.toMatchObject(invalid('TOO_LARGE', 'users'));
    const four = ['a', 'b', 'c', 'd'].map((user) => ({ user, ...largest }));
    await service.put(...four.slice(1));
    await expect(service.put(...four)).rejects.toMatchObject(invalid('TOO_LARGE', 'profiles'));

    const many = Array.from({ length: 500 }, (_, n) => `many ${n}`);
    await service.put(...many.map((user) => ({ user, displayName: user })));
    const got = await service.get(many.toReversed());
    expect(got.map(({ user }) => user)).toEqual(many.toReversed());
  });

  it('are refused where something is missing, wrong or too large', async () => {
    const many = Array.from({ length: PROFILE.atOnce + 1 }, (_, n) => `${n}`);
    const named = (key: string) => `profiles[1].attributes[${JSON.stringify(key)}]`;
    const good = { user: 'a' };
    const attributes = { '': '', k: 'v'.repeat(4_097), ['ä'.repeat(65)]: '' };
    const cases = [
      [() => service.put(), invalid('MISSING_FIELD', 'profiles')],
      [() => service.put(...many.map((user) => ({ user }))), invalid('TOO_LARGE', 'profiles')],
      [() => service.put(good, {}), invalid('MISSING_FIELD', 'profiles[1].user')],
      [() => service.put(good, good), invalid('INVALID_FIELD', 'profiles[1].user')],
      [() => service.put({ user: 'a\n' }), invalid('INVALID_FIELD', 'profiles[0].user')],
      [
        () =>
          service.put(good, {
            user: 'b',
            displayName: 'x'.repeat(1_025),
            avatarUrl: 'x'.repeat(4_097),
          }),
        invalid('TOO_LARGE', 'profiles[1].display_name', 'profiles[1].avatar_url'),
      ],
      [
        () => service.put(good, { user: 'b', attributes }),
        invalid('INVALID_FIELD', named(''), named('k'), named('ä'.repeat(65))),
      ],
      [
        () =>
          service.put({ ...good, attributes: Object.fromEntries(many.map((key) => [key, ''])) }),
        invalid('TOO_LARGE', 'profiles[0].attributes'),
      ],
      [() => service.get([]), invalid('MISSING_FIELD', 'users')],
      [() => service.get(many), invalid('TOO_LARGE', 'users')],
      [() => service.get(['a', '']), invalid('MISSING_FIELD', 'users[1]')],
    ] as const;
    for (const [act, error] of cases) await expect(act()).rejects.toMatchObject(error);
    expect(await service.get(['a', 'b'])).toEqual([]);
  });
});
