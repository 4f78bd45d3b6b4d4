import { mkdir, mkdtempDisposable, readdir, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, it } from 'vitest';
import { BackupClient } from '../../clients/backup/backup-client.ts';
import { VerificationState } from '../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import { CHECK } from '../../services/backup/limits.ts';
import { eventually } from '../support/eventually.ts';
import { startService } from '../support/processes.ts';

const { UNSPECIFIED, PASSED } = VerificationState;

it('leaves no file and no verdict of a verification in which the service is killed', async () => {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await mkdtempDisposable(join(tmpdir(), 'killed-')));
  const large = join(folder.path, 'large.db');
  makeLarge(large);
  const rebuilt = join(folder.path, 'rebuilt');
  const env = {
    BACKUP_STORE_URL: `file:${join(folder.path, 'store')}`,
    BACKUP_VERIFY_FOLDER: rebuilt,
  };
  {
    await using service = await startService('backup', env);
    using client = new BackupClient(service.address);
    const gone = new AbortController();
    const options = { user: 'alice', waitForVerification: true, signal: gone.signal };
    const waiting = client.upload(large, options).catch((error: Error) => error);
    await eventually(async () => {
      const [name] = await readdir(rebuilt);
      expect((await stat(join(rebuilt, name!))).size).toBeGreaterThan(0);
    }, 1);
    await service.process.kill('SIGKILL');
    gone.abort();
    expect(await waiting).toBeInstanceOf(Error);
  }
  await eventually(async () => expect(await readdir(rebuilt)).toEqual([]));

  await using service = await startService('backup', env);
  using client = new BackupClient(service.address);
  const { verification } = await client.get({ user: 'alice' });
  expect(verification?.state).toBe(UNSPECIFIED);
  expect((await client.verify({ user: 'alice' })).verification?.state).toBe(PASSED);
  expect(await readdir(rebuilt)).toEqual([]);
});

it('removes what was left by processes that were killed together with their service', async () => {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await mkdtempDisposable(join(tmpdir(), 'killed-')));
  const rebuilt = join(folder.path, 'rebuilt');
  await mkdir(rebuilt);
  const long = new Date(Date.now() - 2 * CHECK.leftoverMs);
  for (const name of ['backscroll-check-old.db', 'backscroll-check-new.db', 'other.db']) {
    await writeFile(join(rebuilt, name), 'left');
    if (!name.includes('new')) await utimes(join(rebuilt, name), long, long);
  }
  const store = `file:${join(folder.path, 'store')}`;
  await using service = await startService('backup', {
    BACKUP_STORE_URL: store,
    BACKUP_VERIFY_FOLDER: rebuilt,
  });
  using client = new BackupClient(service.address);
  const options = { user: 'alice', waitForVerification: true };
  const { backup } = await client.upload('examples/app.db', options);
  expect(backup.verification?.state).toBe(PASSED);
  expect((await readdir(rebuilt)).sort()).toEqual(['backscroll-check-new.db', 'other.db']);
});

/** Makes a database that takes some time to be rebuilt: it does not compress. */
function makeLarge(path: string): void {
  using database = new DatabaseSync(path);
  database.exec('CREATE TABLE file (bytes BLOB)');
  const insert = database.prepare('INSERT INTO file VALUES (randomblob(1048576))');
  database.exec('BEGIN');
  for (let mebibytes = 0; mebibytes < 150; mebibytes++) insert.run();
  database.exec('COMMIT');
}
