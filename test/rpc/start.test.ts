import { mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, inject, it } from 'vitest';
import { BackupClient, HistoryClient } from '../../clients/index.ts';
import { eventually } from '../support/eventually.ts';
import { TestProcess } from '../support/processes.ts';

const free = '127.0.0.1:0';

/** Settings of both services: free ports, and stores in `folder`. */
function storesIn(folder: string) {
  return {
    HISTORY_LISTEN: free,
    BACKUP_LISTEN: free,
    HISTORY_METRICS_LISTEN: free,
    BACKUP_METRICS_LISTEN: free,
    HISTORY_DATABASE_URL: `sqlite:${join(folder, 'data', 'history.db')}`,
    BACKUP_STORE_URL: `file:${join(folder, 'data', 'backups')}`,
  };
}

/** Both services in one process, as `npm start` runs them, with their data in `folder`. */
async function startBoth(folder: string) {
  const both = new TestProcess(['services/main.ts'], storesIn(folder));
  await eventually(() => expect(both.stdout).toContain('Ctrl-C'));
  const address = (name: string) => new RegExp(`^ +${name} +(\\S+)$`, 'm').exec(both.stdout)?.[1];
  return { both, history: address('history') ?? '', backup: address('backup') ?? '' };
}

it('ends cleanly on Ctrl-C, and a second start finds the data', async () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'backscroll-start-'));

  const first = await startBoth(folder.path);
  await using firstProcess = first.both;
  {
    using history = new HistoryClient(first.history);
    using backup = new BackupClient(first.backup);
    await history.append({
      user: 'alice',
      peer: 'bob',
      messages: [{ id: '1', content: { text: 'Hello' } }],
    });
    await backup.upload('examples/app.db', { user: 'alice' });
  }
  expect(await firstProcess.kill('SIGINT')).toEqual({ code: 0, signal: null });

  const second = await startBoth(folder.path);
  await using secondProcess = second.both;
  {
    using history = new HistoryClient(second.history);
    using backup = new BackupClient(second.backup);
    const { messages } = await history.sync({ user: 'bob', peer: 'alice' }).collect();
    expect(messages.map(({ content }) => content?.text)).toEqual(['Hello']);
    expect((await backup.age({ user: 'alice' })).newestNumber).toBe(1n);
  }
  expect(await secondProcess.kill('SIGINT')).toEqual({ code: 0, signal: null });
});

it.each([
  ['main', 'HISTORY_DATABASE_URL', 'sqlite:package.json', 'package.json is no SQLite database'],
  ['main', 'HISTORY_DATABASE_URL', 'sqlite:package.json/x', 'EEXIST: file already exists, mkdir'],
  ['main', 'BACKUP_STORE_URL', 'file:package.json/x', 'ENOTDIR: not a directory'],
  [
    'history/migrate',
    'HISTORY_DATABASE_URL',
    'sqlite:package.json',
    'package.json is no SQLite database',
  ],
])('services/%s.ts says in one line what is wrong with %s=%s', async (main, name, url, words) => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'backscroll-start-'));
  await using service = new TestProcess([`services/${main}.ts`], {
    ...storesIn(folder.path),
    [name]: url,
  });
  expect(await service.exited).toEqual({ code: 1, signal: null });
  expect(service.stderr.trimEnd().split('\n')).toEqual([
    expect.stringMatching(`^${name}: ${words}`),
  ]);
});

it('says in one line that MySQL refuses the password', async () => {
  const url = new URL('/backscroll', inject('mysqlUrl'));
  url.username = 'nobody';
  url.password = 'wrong';
  await using migrate = new TestProcess(['services/history/migrate.ts'], {
    HISTORY_DATABASE_URL: url.href,
  });
  expect(await migrate.exited).toEqual({ code: 1, signal: null });
  expect(migrate.stderr).toMatch(/^HISTORY_DATABASE_URL: Access denied for user 'nobody'.*\n$/);
});

it('tells the faults of both configurations at once, a line each', async () => {
  await using both = new TestProcess(['services/main.ts'], {
    HISTORY_LISTEN: 'nowhere',
    BACKUP_STORE_URL: 'ftp://x',
    LOG_LEVEL: 'loud',
  });
  expect(await both.exited).toEqual({ code: 2, signal: null });
  const names = both.stderr
    .trim()
    .split('\n')
    .map((line) => line.split(':')[0]);
  expect(names.sort()).toEqual(['BACKUP_STORE_URL', 'HISTORY_LISTEN', 'LOG_LEVEL']);
});
