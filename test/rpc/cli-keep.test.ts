import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BackupClient } from '../../clients/index.ts';
import { madeDatabase } from '../contract/backup/transfers.ts';
import { ended, jsonOf, linesOf, startBackscroll } from '../support/backscroll.ts';
import { startService, type TestService } from '../support/processes.ts';

const used = new AsyncDisposableStack();
let service: TestService;
let client: BackupClient;

beforeAll(async () => {
  const folder = used.use(await mkdtempDisposable(join(tmpdir(), 'backscroll-keep-')));
  const settings = { BACKUP_STORE_URL: `file:${folder.path}`, BACKUP_QUOTA_BYTES: '1000000' };
  service = used.use(await startService('backup', settings));
  client = used.adopt(new BackupClient(service.address), (it) => it.close());
});

afterAll(() => used.disposeAsync());

const backscroll = (...args: string[]) =>
  ended(startBackscroll({ BACKSCROLL_BACKUP: service.address }, ['backup', ...args]));

const upload = (pages: number, user: string, database = 'backup.db') => {
  const file = madeDatabase(pages);
  async function* stream() {
    yield file;
  }
  const source = { sizeBytes: file.length, stream };
  return client.upload(source, { user, database, label: 'the phone', opaque: true });
};

describe('backscroll backup', () => {
  it('shows, pins, unpins and deletes a backup', async () => {
    await upload(40, 'alice');
    await upload(10, 'alice');
    const alice = ['--user', 'alice'];
    const newest = await backscroll('show', ...alice);
    expect(newest).toMatchObject({ code: 0, stderr: '' });
    expect(linesOf(newest.stdout)).toEqual([
      expect.stringMatching(/^backup 2 of \S+Z: 40\.0 KiB, of which \d+ B were stored for it$/),
      '  label: the phone',
      expect.stringMatching(/^ {2}verification: /),
      '  warning: less than half as large as the backup before it',
    ]);
    const before = await backscroll('show', ...alice, '--number', '1');
    expect(before.stdout).toContain('pinned, because the backup after it has a warning');

    const pinned = await backscroll('pin', ...alice, '--number', '1', '--json');
    expect(jsonOf(pinned.stdout)).toMatchObject([{ number: '1', pin: 'PIN_ASKED' }]);
    const unpinned = await backscroll('unpin', ...alice, '--number', '1');
    expect(unpinned.stdout).not.toContain('pinned');
    expect(await backscroll('delete', ...alice, '--number', '1')).toMatchObject({
      ...{ code: 0, stdout: 'deleted: backup 1\n' },
    });
    for (const command of ['show', 'pin', 'unpin', 'delete']) {
      const gone = await backscroll(command, ...alice, '--number', '1');
      expect(gone.code).toBe(4);
      expect(gone.stderr).toContain('BACKUP_NOT_FOUND');
    }
  });

  it('tells what is used, and deletes all of a user when that is confirmed', async () => {
    await upload(20, 'bob');
    await upload(20, 'bob', 'other');
    const usage = await backscroll('usage', '--user', 'bob');
    expect(usage.stdout).toMatch(/^\S+ KiB of 976\.6 KiB: 2 backups of 2 databases\n$/);
    const told = await backscroll('usage', '--user', 'bob', '--json');
    expect(jsonOf(told.stdout)).toMatchObject([{ quotaBytes: '1000000', backups: '2' }]);

    const unconfirmed = await backscroll('delete-all', '--user', 'bob');
    expect(unconfirmed.code).toBe(2);
    expect(unconfirmed.stderr).toContain('--yes');
    const other = ['delete-all', '--user', 'bob', '--database', 'other', '--yes', '--json'];
    expect(jsonOf((await backscroll(...other)).stdout)).toEqual([{ deleted: '1' }]);
    expect((await backscroll('delete-all', '--user', 'bob', '--yes')).stdout).toBe(
      'deleted: 1 backups\n',
    );
    expect((await client.usage({ user: 'bob' })).backups).toBe(0n);
  });

  it('refuses an upload that passes the quota, and says so', async () => {
    await expect(upload(9_000, 'carol')).rejects.toMatchObject({ reason: 'QUOTA_EXCEEDED' });
  });
});
