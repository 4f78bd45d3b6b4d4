import { createHash } from 'node:crypto';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, inject, it } from 'vitest';
import { BackupClient } from '../../clients/backup/backup-client.ts';
import { madeDatabase } from '../contract/backup/transfers.ts';
import { ended, jsonOf, startBackscroll } from '../support/backscroll.ts';
import { freshBackupStore } from '../support/databases.ts';
import { startService } from '../support/processes.ts';
import { Random } from '../support/random.ts';

const mebibyte = 2 ** 20;
/** Larger than all that the service may hold; the corpus suite takes 1 GiB. */
const blocks = 300;
const limitBytes = 256 * mebibyte;

// Memory is read from the kernel's account, which Linux alone gives.
describe.runIf(process.platform === 'linux')('the memory of the backup service', () => {
  it.each(['a folder', 'MinIO'] as const)(
    'does not grow with the file, on %s',
    { timeout: 180_000 },
    async (store) => {
      await using stack = new AsyncDisposableStack();
      const settings = await freshBackupStore(store, inject('minioUrl'), stack);
      const service = stack.use(await startService('backup', settings));
      const client = stack.use(new BackupClient(service.address));
      const sent = createHash('sha256');
      const stream = async function* () {
        for (const block of largeDatabase()) {
          sent.update(block);
          yield block;
        }
      };
      const source = { sizeBytes: blocks * mebibyte, stream };
      const { backup } = await client.upload(source, { user: 'large' });
      expect(Number(backup.storedBytes)).toBeGreaterThan(source.sizeBytes / 4);

      const received = createHash('sha256');
      for await (const part of await client.download({ user: 'large' })) received.update(part);
      expect(received.digest('hex')).toBe(sent.digest('hex'));
      expect(service.process.peakMemoryBytes()).toBeLessThan(limitBytes);
    },
  );
});

/** Ends a process with the most memory that was ever resident, in KiB, on its standard error. */
const tellPeak =
  'data:text/javascript,process.on("exit",()=>console.error(process.resourceUsage().maxRSS))';

// Memory is read from the kernel's account, which Linux alone gives.
describe.runIf(process.platform === 'linux')('the memory of an incremental upload', () => {
  it('does not grow with the file, at either end', { timeout: 180_000 }, async () => {
    await using stack = new AsyncDisposableStack();
    const folder = stack.use(await mkdtempDisposable(join(tmpdir(), 'backup-memory-')));
    const env = { BACKUP_STORE_URL: `file:${join(folder.path, 'store')}` };
    const service = stack.use(await startService('backup', env));
    const path = join(folder.path, 'large.db');
    await writeFile(path, largeDatabase());
    const upload = ['backup', 'upload', path, '--raw', '--user', 'large', '--json'];
    for (const unchanged of [false, true]) {
      const client = stack.use(
        startBackscroll({ BACKSCROLL_BACKUP: service.address }, upload, ['--import', tellPeak]),
      );
      const { stdout, stderr } = await ended(client);
      expect(jsonOf(stdout)[0]).toMatchObject({ unchanged });
      expect(Number(stderr) * 1024).toBeLessThan(limitBytes);
    }
    expect(service.process.peakMemoryBytes()).toBeLessThan(limitBytes);
  });
});

/** A database in blocks of 1 MiB, all different, of which a third does not compress. */
function* largeDatabase(): Generator<Buffer> {
  const random = new Random(1);
  const noise = Buffer.from(random.bytes(mebibyte));
  for (let block = 0; block < blocks; block++) {
    const pages = madeDatabase(256, 4096, block);
    for (let page = 0; page < 256; page++) {
      const from = random.between(0, mebibyte - 1_400);
      noise.copy(pages, page * 4096 + 512, from, from + 1_400);
    }
    yield pages;
  }
}
