import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HistoryVisibility, Role } from '../../clients/gen/backscroll/history/v1/directory_pb.ts';
import { DirectoryClient } from '../../clients/history/directory-client.ts';
import { HistoryClient } from '../../clients/history/history-client.ts';
import { HistoryHarness } from './history-harness.ts';

describe.each(['sqlite', 'mysql'] as const)('DirectoryClient: %s', (engine) => {
  const used = new AsyncDisposableStack();
  let client: DirectoryClient;
  let history: HistoryClient;
  beforeAll(async () => {
    const { server } = used.use(await HistoryHarness.start(engine));
    client = used.use(new DirectoryClient(server.address));
    history = used.use(new HistoryClient(server.address));
  });
  afterAll(() => used.disposeAsync());

  it('creates a group, again to the same answer, and changes it', async () => {
    const request = { user: 'alice', group: 'made', title: 'Made', members: [{ user: 'bob' }] };
    const created = await client.createGroup(request);
    expect(created).toMatchObject({
      ...{ group: 'made', title: 'Made', memberCount: 2 },
      historyVisibility: HistoryVisibility.ALL,
    });
    expect(await client.createGroup(request)).toEqual(created);
    await expect(client.createGroup({ ...request, title: 'Other' })).rejects.toMatchObject({
      ...{ code: status.ALREADY_EXISTS, reason: 'GROUP_EXISTS' },
    });
    const changed = await client.updateGroup({ group: 'made', title: '', retentionS: 60n });
    expect(changed).toMatchObject({ title: '', retentionS: 60n, memberCount: 2 });
    expect(await client.getGroup({ group: 'made', user: 'alice' })).toMatchObject({
      ...{ group: changed, role: Role.OWNER },
    });
    expect((await client.getGroup({ group: 'made' })).role).toBe(Role.UNSPECIFIED);
  });

  it('tells strangers nothing, and everybody nothing once it is deleted', async () => {
    await client.createGroup({ user: 'alice', group: 'secret' });
    const denied = { code: status.PERMISSION_DENIED, reason: 'NOT_A_MEMBER' };
    for (const group of ['secret', 'there is none']) {
      await expect(client.getGroup({ group, user: 'eve' })).rejects.toMatchObject(denied);
    }
    const gone = { group: 'secret', user: 'alice' };
    await client.deleteGroup(gone);
    await client.deleteGroup({ group: 'secret' });
    await expect(client.getGroup(gone)).rejects.toMatchObject(denied);
    await expect(client.getGroup({ group: 'secret' })).rejects.toMatchObject({
      ...{ code: status.NOT_FOUND, reason: 'GROUP_NOT_FOUND' },
    });
  });

  it('adds, lists, promotes and removes members', async () => {
    const group = 'members';
    await client.createGroup({ user: 'alice', group });
    const names = Array.from({ length: 25 }, (_, n) => `user-${String(n).padStart(2, '0')}`);
    const members = names.map((user) => ({ user }));
    const acting = { group, user: 'alice' };
    const added = { added: 25, memberCount: 26 };
    expect(await client.addMembers({ ...acting, members })).toMatchObject(added);
    expect(await client.addMembers({ ...acting, members })).toMatchObject({ ...added, added: 0 });
    await client.setRole({ ...acting, member: 'user-03', role: Role.MODERATOR });
    await expect(
      client.setRole({ group, user: 'user-03', member: 'user-04', role: Role.OWNER }),
    ).rejects.toMatchObject({ code: status.PERMISSION_DENIED, reason: 'ROLE_TOO_LOW' });
    const removing = { group, user: 'user-03', members: ['user-04', 'nobody'] };
    expect(await client.removeMembers(removing)).toMatchObject({ removed: 1, memberCount: 25 });
    const listed = await Array.fromAsync(client.members({ ...acting, pageSize: 10 }));
    const left = names.filter((name) => name !== 'user-04');
    expect(listed.map(({ user }) => user)).toEqual(['alice', ...left]);
    expect(listed.filter(({ role }) => role !== Role.MEMBER)).toMatchObject([
      { user: 'alice', role: Role.OWNER },
      { user: 'user-03', role: Role.MODERATOR },
    ]);
    await expect(Array.fromAsync(client.members({ group, user: 'user-04' }))).rejects.toMatchObject(
      { reason: 'NOT_A_MEMBER' },
    );
  });

  it('stores profiles, and fetches those that changed', async () => {
    const alice = { user: 'alice', displayName: 'Alice', attributes: { city: 'Paris' } };
    await client.putProfiles([alice, { user: 'bob' }]);
    const { profiles, absentUsers } = await client.getProfiles(['bob', 'nobody', 'alice']);
    expect(profiles).toMatchObject([{ user: 'bob', displayName: '' }, alice]);
    expect(absentUsers).toEqual(['nobody']);
    const changedSinceMs = profiles[1]!.updatedAtMs;
    const later = await client.getProfiles(['alice', 'nobody', 'bob'], { changedSinceMs });
    expect(later).toMatchObject({ profiles: [], absentUsers: ['nobody'] });
  });

  it('erases a user', async () => {
    const said = [{ content: { text: 'mine' } }, { content: { text: 'mine, too' } }];
    await history.append({ user: 'erased', peer: 'other', messages: said });
    await client.putProfiles([{ user: 'erased', displayName: 'E' }]);
    expect(await client.eraseUser('erased')).toMatchObject({ messages: 2n, conversations: 1n });
    expect(await client.eraseUser('erased')).toMatchObject({ messages: 0n, conversations: 0n });
    const erased = await client.getProfiles(['erased'], { changedSinceMs: 1 });
    expect(erased).toMatchObject({ profiles: [], absentUsers: ['erased'] });
    const { messages } = await history.sync({ user: 'other', peer: 'erased' }).collect();
    expect(messages.map(({ sender, content }) => [sender, content])).toEqual([
      ['', undefined],
      ['', undefined],
    ]);
  });
});
