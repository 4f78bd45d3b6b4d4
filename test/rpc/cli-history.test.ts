import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HistoryClient } from '../../clients/history/history-client.ts';
import type { MessageInit } from '../../clients/history/history-requests.ts';
import { ended, jsonOf, linesOf, startBackscroll } from '../support/backscroll.ts';
import { startService, type TestService } from '../support/processes.ts';

const used = new AsyncDisposableStack();
let service: TestService;
let client: HistoryClient;

beforeAll(async () => {
  const folder = used.use(await mkdtempDisposable(join(tmpdir(), 'backscroll-cli-history-')));
  const url = `sqlite:${join(folder.path, 'history.db')}`;
  service = used.use(await startService('history', { HISTORY_DATABASE_URL: url }));
  client = used.use(new HistoryClient(service.address));
});

afterAll(() => used.disposeAsync());

/** Runs `backscroll` to its end. */
const backscroll = (...args: string[]) =>
  ended(startBackscroll({ BACKSCROLL_HISTORY: service.address }, args));

/** Runs `backscroll` to its good end; resolves to what it printed. */
async function printed(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await backscroll(...args);
  expect(code, stderr).toBe(0);
  return stdout;
}

const shown = async (...args: string[]) => linesOf(await printed(...args));
const json = async (...args: string[]) => jsonOf(await printed(...args, '--json'));

/** What the terminal is never to be sent as it is: a colour, and a turn of direction. */
const STEERING = '\u001b[31mred\u202e';
const SPELT_OUT = '\\u001b[31mred\\u202e';

describe('changing messages', () => {
  const alice = ['--user', 'alice', '--peer', 'bob'];
  const bob = ['--user', 'bob', '--peer', 'alice'];
  beforeAll(async () => {
    const messages = ['one', 'two', 'three', 'four'].map((text) => ({ content: { text } }));
    await client.append({ user: 'alice', peer: 'bob', messages });
  });

  it('edits', async () => {
    expect(await printed('edit', ...alice, '1', `uno ${STEERING}`)).toBe('edited, revision 1\n');
    const [edited] = await json('edit', ...alice, '1', `UNO ${STEERING}`, '--revision', '1');
    expect(edited).toMatchObject({ message: { seq: '1', revision: '2' }, revision: '2' });
    const late = await backscroll('edit', ...alice, '1', 'Uno', '--revision', '1');
    expect(late).toMatchObject({ code: 1, stdout: '' });
    expect(late.stderr).toContain('REVISION_MISMATCH');
    const missing = await backscroll('edit', ...alice, '99', 'x');
    expect(missing.code).toBe(4);
    expect(missing.stderr).toContain('MESSAGE_NOT_FOUND');
  });

  it('deletes for everyone, for oneself, and up to a seq', async () => {
    expect(await printed('delete', ...alice, '--for-everyone', '2')).toBe(
      'deleted: 1; revision 3\n',
    );
    expect(await json('delete', ...bob, '3')).toEqual([{ deleted: '1', revision: '4' }]);
    const others = await backscroll('delete', ...bob, '--for-everyone', '1');
    expect(others.code).toBe(1);
    expect(others.stderr).toContain('NOT_THE_SENDER');
    expect(await printed('delete', '--user', 'alice', '--peer', 'bob', '--up-to', '1')).toMatch(
      /^deleted: all up to 1; revision \d+\n$/,
    );
  });

  it('tells what changed', async () => {
    const { code, stdout, stderr } = await backscroll('changes', ...bob, '--since', '0');
    expect(code).toBe(0);
    expect(linesOf(stdout)).toEqual([
      '3 [deleted for you]',
      expect.stringMatching(/^1 \S+Z alice: /),
      expect.stringMatching(/^2 \S+Z alice: \[deleted\]$/),
    ]);
    expect(stdout).toContain(`UNO ${SPELT_OUT}`);
    expect(stderr).toMatch(/^revision (\d+): --since \1 next time\n$/);
    const [hidden, edited, deleted, last, ...more] = await json(
      ...['changes', ...bob, '--since', '0'],
    );
    expect(edited).toMatchObject({ user: 'bob', peer: 'alice', seq: '1', revision: '2' });
    expect(deleted).toMatchObject({ seq: '2', deletedAtMs: expect.stringMatching(/^\d+$/) });
    expect(hidden).toEqual({ hiddenSeq: '3' });
    expect(last.result).toMatchObject({ lastSeq: '4', floorSeq: '1' });
    expect(more).toEqual([]);
    const ahead = await backscroll('changes', ...bob, '--since', '1000');
    expect(ahead.code).toBe(1);
    expect(ahead.stderr).toContain('RESYNC_REQUIRED');
  });

  it('marks as delivered and as read', async () => {
    const delivered = await printed('read', ...bob, '--delivered', '2');
    expect(delivered).toBe('read up to 0, delivered up to 2\n');
    expect(await json('read', ...bob, '100')).toEqual([{ readSeq: '4', deliveredSeq: '4' }]);
  });
});

describe('inbox', () => {
  it('lists conversations, and what changed for the user', async () => {
    const say = (peer: string, text: string) =>
      client.append({ user: peer, peer: 'reader', messages: [{ content: { text } }] });
    expect(await backscroll('inbox', '--user', 'reader')).toMatchObject({
      ...{ code: 0, stdout: '', stderr: 'no conversations\n' },
    });
    await say('early', 'first');
    await say('early', 'second');
    await say('late', STEERING);
    await say('evil\u202e', 'name');
    const lines = await shown('inbox', '--user', 'reader');
    expect(lines).toEqual([
      expect.stringMatching(/^ {4}1 {2}evil\\u202e 1 \S+Z evil\\u202e: name$/),
      expect.stringMatching(/^ {4}1 {2}late 1 \S+Z late: /),
      expect.stringMatching(/^ {4}2 {2}early 2 \S+Z early: second$/),
    ]);
    expect(lines[1]?.endsWith(`late: ${SPELT_OUT}`)).toBe(true);

    const all = await json('inbox', '--user', 'reader');
    expect(all.map(({ peer, unreadCount }) => [peer, unreadCount])).toEqual([
      ['evil\u202e', 1],
      ['late', 1],
      ['early', 2],
      [undefined, undefined],
    ]);
    const { userRevision } = all.at(-1);
    expect(await backscroll('inbox', '--user', 'reader')).toMatchObject({
      stderr: `user revision ${userRevision}: --since ${userRevision} next time\n`,
    });
    await printed('read', '--user', 'reader', '--peer', 'early', '2');
    const changed = await json('inbox', '--user', 'reader', '--since', userRevision);
    expect(changed).toMatchObject([
      { peer: 'early', unreadCount: 0, marks: { readSeq: '2', deliveredSeq: '2' } },
      { userRevision: expect.stringMatching(/^\d+$/) },
    ]);
  });
});

describe('groups', () => {
  const team = ['--group', 'team'];

  it('are created, shown, changed and deleted', async () => {
    const created = await printed(
      ...['group', 'create', ...team, '--user', 'alice', '--title', `T ${STEERING}`],
      ...['--newcomers-see', '2', 'bob'],
    );
    const head = `#team (T ${SPELT_OUT}), members: 2\n  newcomers see: 2\n`;
    expect(created).toBe(head);
    expect(await printed('group', 'show', ...team, '--user', 'bob')).toBe(
      `${head}  your role: member\n`,
    );
    expect(await json('group', 'show', ...team, '--user', 'alice')).toMatchObject([
      { group: { group: 'team', visibleMessages: '2', retentionS: '0' }, role: 'ROLE_OWNER' },
    ]);
    expect(await json('group', 'update', ...team, '--title', '', '--keep-days', '3')).toMatchObject(
      [{ title: '', historyVisibility: 'HISTORY_VISIBILITY_LAST', retentionS: '259200' }],
    );
    const updated = await printed('group', 'update', ...team, '--newcomers-see', 'none');
    expect(updated).toBe('#team, members: 2\n  newcomers see: none\n  messages are kept: 3 days\n');
    const not = await backscroll('group', 'update', ...team, '--user', 'bob', '--title', 'mine');
    expect(not.code).toBe(1);
    expect(not.stderr).toContain('ROLE_TOO_LOW');
  });

  it('have members, who come and go', async () => {
    expect(await printed('group', 'add', ...team, '--user', 'alice', 'carol', 'bob')).toBe(
      'added: 1; members: 3\n',
    );
    const moderator = [...team, '--role', 'moderator'];
    expect(await printed('group', 'role', ...moderator, '--user', 'alice', 'carol')).toBe(
      'carol: moderator\n',
    );
    expect(await json('group', 'add', ...moderator, 'dave\u202e')).toEqual([
      { added: 1, memberCount: 4 },
    ]);
    expect(await shown('group', 'members', ...team)).toEqual([
      'alice\towner\tread up to 0',
      'bob\tmember\tread up to 0',
      'carol\tmoderator\tread up to 0',
      'dave\\u202e\tmoderator\tread up to 0',
    ]);
    expect(await json('group', 'members', ...team, '--user', 'bob')).toMatchObject([
      { user: 'alice', role: 'ROLE_OWNER', readSeq: '0', deliveredSeq: '0' },
      { user: 'bob' },
      { user: 'carol' },
      { user: 'dave\u202e' },
    ]);
    expect(await printed('group', 'remove', ...team, '--user', 'bob', 'bob')).toBe(
      'removed: 1; members: 3\n',
    );
    const nobody = await backscroll('group', 'role', ...moderator, 'bob');
    expect(nobody.code).toBe(4);
    expect(nobody.stderr).toContain('MEMBER_NOT_FOUND');
  });

  it('are gone for all, and as if they had never been for others', async () => {
    const stranger = await backscroll('group', 'show', ...team, '--user', 'stranger');
    const nowhere = await backscroll('group', 'show', '--group', 'nowhere', '--user', 'stranger');
    expect(stranger).toEqual(nowhere);
    expect(stranger.code).toBe(1);
    expect(stranger.stderr).toContain('NOT_A_MEMBER');
    expect(await printed('group', 'delete', ...team, '--user', 'alice', '--yes')).toBe('deleted\n');
    expect((await backscroll('group', 'show', ...team)).code).toBe(4);
    const again = await backscroll('group', 'create', ...team);
    expect(again.code).toBe(1);
    expect(again.stderr).toContain('GROUP_EXISTS');
  });
});

describe('people', () => {
  it('have profiles', async () => {
    expect(await backscroll('profile', 'alice')).toMatchObject({ code: 4, stdout: '' });
    const stored = await printed(
      ...[
        'profile',
        'alice',
        '--display-name',
        `Alice ${STEERING}`,
        '--set',
        'city=Paris',
        'a=b=c',
      ],
    );
    expect(stored).toBe(`alice\n  name: Alice ${SPELT_OUT}\n  a: b=c\n  city: Paris\n`);
    const [profile] = await json('profile', 'alice', '--avatar', 'https://pictures.example/a.png');
    expect(profile).toMatchObject({
      ...{ user: 'alice', displayName: '', avatarUrl: 'https://pictures.example/a.png' },
      ...{ attributes: {}, updatedAtMs: expect.stringMatching(/^\d+$/) },
    });
  });

  it('are erased', async () => {
    await client.append({ user: 'eve', peer: 'adam', messages: [{ content: { text: 'secret' } }] });
    expect((await backscroll('erase', 'eve')).code).toBe(2);
    expect(await printed('erase', 'eve', '--yes')).toBe('erased: 1 message in 1 conversation\n');
    expect(await json('erase', 'eve', '--yes')).toEqual([{ messages: '0', conversations: '0' }]);
    const [line] = await shown('sync', '--user', 'adam', '--peer', 'eve');
    expect(line).toMatch(/^1 \S+Z \?: \[deleted\]$/);
  });
});

describe('sync', () => {
  const chat = ['--user', 'ann', '--peer', 'ben'];
  const DAY_MS = 86_400_000;
  beforeAll(async () => {
    const start = Date.UTC(2026, 0, 1);
    const contents: MessageInit['content'][] = [
      { text: 'one' },
      { text: 'two', thread: 'lunch' },
      { files: [{ url: 'https://files.example/a', name: STEERING }] },
      { call: { kind: 1, outcome: 2 } },
      { text: 'five', thread: 'lunch' },
    ];
    const messages = contents.map((content, n) => ({
      ...{ id: `m-${n + 1}`, sentAtMs: BigInt(start + n * DAY_MS), content },
    }));
    await client.append({ user: 'ann', peer: 'ben', messages });
  });
  const seqs = async (...args: string[]) =>
    (await json('sync', ...chat, '--order', 'oldest', ...args)).slice(0, -1).map(({ seq }) => seq);

  it('reads around a seq, a time and a message', async () => {
    expect(await seqs('--around', '3', '--count', '2')).toEqual(['2', '3']);
    expect(await seqs('--at', '2026-01-03T12:00Z', '--count', '2')).toEqual(['3', '4']);
    expect(await seqs('--around-id', 'm-5', '--count', '1')).toEqual(['5']);
    const none = await backscroll('sync', ...chat, '--around-id', 'm-6');
    expect(none.code).toBe(4);
    expect(none.stderr).toContain('MESSAGE_NOT_FOUND');
  });

  it('reads what a filter lets through', async () => {
    expect(await seqs('--kind', 'file', 'call')).toEqual(['3', '4']);
    expect(await seqs('--thread', 'lunch', '--kind', 'text', '--before', '5')).toEqual(['2']);
    expect(await shown('sync', ...chat, '--kind', 'file')).toEqual([
      expect.stringMatching(/^3 2026-01-03T00:00:00Z ann: \[file /),
    ]);
    expect(await printed('sync', ...chat, '--kind', 'file')).toContain(`[file ${SPELT_OUT}]`);
    expect(await shown('sync', '--user', 'ben', '--peer', 'ann', '--kind', 'missed-call')).toEqual([
      '4 2026-01-04T00:00:00Z ann: [voice call, missed]',
    ]);
  });
});

describe('usage', () => {
  const COMMANDS = [
    ...['inbox', 'edit', 'delete', 'read', 'changes', 'profile', 'erase'].map((name) => [name]),
    ...['create', 'show', 'update', 'delete', 'add', 'remove', 'role', 'members'].map((name) => [
      ...['group', name],
    ]),
  ];
  it.each(COMMANDS)('has help with examples: %s %s', async (...command) => {
    const words = command.filter((word) => word !== undefined);
    const help = await printed(...words, '--help');
    expect(help).toContain(`Examples:\n  backscroll ${words.join(' ')} `);
  });

  const chat = ['--user', 'a', '--peer', 'b'];
  it.each([
    [['inbox'], '--user'],
    [['edit', '--group', 'g', '1', 'x'], 'name the user'],
    [['edit', ...chat, 'one', 'x'], 'not a whole number'],
    [['delete', ...chat], 'name either seqs or --up-to'],
    [['delete', ...chat, '1', '--up-to', '2'], 'name either seqs or --up-to'],
    [['delete', ...chat, 'one'], 'not a whole number'],
    [['read', '--group', 'g', '1'], 'name the user'],
    [['changes', ...chat], '--since'],
    [['group', 'create'], '--group'],
    [['group', 'add', '-g', 'g'], 'members'],
    [['group', 'role', '-g', 'g', 'bob'], '--role'],
    [['group', 'role', '-g', 'g', '--role', 'king', 'bob'], 'owner'],
    [['group', 'create', '-g', 'g', '--newcomers-see', 'some'], '--newcomers-see'],
    [['profile', 'a', '--set', 'city'], 'key=value'],
    [['sync', ...chat, '--at', 'teatime'], 'not a time'],
    [['sync', ...chat, '--around', '1', '--before', '2'], 'exclude each other'],
    [['sync', ...chat, '--kind', 'picture'], 'missed-call'],
    [['inbox', '--user', '\u0007'], 'INVALID_FIELD'],
  ] as const)('ends %j with 2', async (args, said) => {
    const { code, stdout, stderr } = await backscroll(...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(said);
  });
});
