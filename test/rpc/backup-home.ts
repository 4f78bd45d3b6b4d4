import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, beforeEach } from 'vitest';
import { BackupClient } from '../../clients/backup/backup-client.ts';
import { startService, type TestService } from '../support/processes.ts';

/** A backup service on a folder, of a file that calls `useBackupHome`. */
export let service: TestService;

/** A client of it. */
export let client: BackupClient;

/** The folder in which everything of the file stands. */
export let root: string;

/** A folder of the test that runs: empty, and with a name that no other has. */
export let home: string;

/** Where the database of the test that runs is to be, in its folder. */
export let path: string;

/** A user that no other test has. */
export let user: string;

/** Starts a backup service for all tests of a file, and gives each a folder for a database called `name`. */
export function useBackupHome(name: string): void {
  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'backscroll-home-'));
    const store = `file:${join(root, 'backups')}`;
    service = await startService('backup', { BACKUP_STORE_URL: store });
    client = new BackupClient(service.address);
  });
  beforeEach(() => {
    home = mkdtempSync(join(root, 'home-'));
    path = join(home, name);
    user = basename(home);
  });
  afterAll(async () => {
    client.close();
    await service[Symbol.asyncDispose]();
    rmSync(root, { recursive: true, force: true });
  });
}
