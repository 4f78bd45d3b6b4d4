import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { BackupClient } from '../../clients/backup/backup-client.ts';
import { snapshot } from '../../clients/backup/snapshot.ts';
import { linesOf } from '../support/backscroll.ts';
import { eventually } from '../support/eventually.ts';
import { Auditor, makeAccounts } from '../support/live-database.ts';
import { startService, TestProcess } from '../support/processes.ts';

const used = new AsyncDisposableStack();
let folder: string;
let client: BackupClient;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'backscroll-live-'));
  used.defer(() => rm(folder, { recursive: true, force: true }));
  const store = `file:${join(folder, 'backups')}`;
  const service = used.use(await startService('backup', { BACKUP_STORE_URL: store }));
  client = used.use(new BackupClient(service.address));
});

afterAll(() => used.disposeAsync());

it.each([
  // Writers in WAL mode never wait for a snapshot: the shortest wait there is must do.
  ['WAL', 100, '0'],
  ['DELETE', 10, '60000'],
] as const)(
  'backs up a database in %s mode %i times running while it is written to',
  async (mode, times, timeoutMs) => {
    const path = join(folder, `${mode}.db`);
    makeAccounts(path, mode);
    await using writer = new TestProcess(['test/support/live-writer.ts', path, timeoutMs]);
    const committed = () => Number(linesOf(writer.stdout).at(-1) ?? 0);
    const auditor = new Auditor();
    const copy = join(folder, `${mode}-copy.db`);
    for (let n = 0; n < times; n++) {
      const before = committed();
      await eventually(() => expect(committed()).toBeGreaterThan(before), 5);
      const due = committed();
      await using shot = await snapshot(path);
      await client.upload(shot.path, { user: mode });
      await client.downloadToFile(copy, { user: mode, overwrite: true });
      expect(auditor.check(copy)).toBeGreaterThanOrEqual(due);
    }
    writer.child.stdin?.end();
    expect([await writer.exited, writer.stderr]).toEqual([{ code: 0, signal: null }, '']);
    expect((await readdir(folder)).filter((name) => name.includes('snapshot'))).toEqual([]);
  },
);
