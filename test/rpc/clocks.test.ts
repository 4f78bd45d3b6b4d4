import { fileURLToPath } from 'node:url';
import { describe, expect, inject, it } from 'vitest';
import { BackupClient } from '../../clients/index.ts';
import { madeDatabase } from '../contract/backup/transfers.ts';
import { freshBackupStore } from '../support/databases.ts';
import { readerOf } from '../support/memory-reader.ts';
import { startService } from '../support/processes.ts';

const shiftedClock = fileURLToPath(new URL('../support/shifted-clock.ts', import.meta.url));
const MINUTE_MS = 60_000;

describe.each([60, -60])('a replica whose clock is %i minutes ahead', (minutes) => {
  it('commits at once with another one over one MinIO, and tells the same times', async () => {
    await using used = new AsyncDisposableStack();
    const store = await freshBackupStore('MinIO', inject('minioUrl'), used);
    const aheadMs = String(minutes * MINUTE_MS);
    const wrong = { NODE_OPTIONS: `--import=${shiftedClock}`, CLOCK_AHEAD_MS: aheadMs };
    const clients: BackupClient[] = [];
    for (const env of [store, { ...store, ...wrong }]) {
      const { address } = used.use(await startService('backup', env));
      clients.push(used.adopt(new BackupClient(address), (client) => client.close()));
    }
    const alice = { user: 'alice' };
    const files = Array.from({ length: 10 }, (_, seed) => madeDatabase(50, 4096, seed));
    const numbers = new Map<bigint, Buffer>();
    for (let round = 0; round < files.length; round += clients.length) {
      const sending = clients.map(async (client, at) => {
        const file = files[round + at]!;
        const { backup } = await client.upload(sourceOf(file), { ...alice, opaque: true });
        numbers.set(backup.number, file);
      });
      await Promise.all(sending);
    }
    expect([...numbers.keys()].sort()).toHaveLength(files.length);
    for (const client of clients) {
      const listed = await Array.fromAsync(client.list(alice));
      expect(listed.map(({ number }) => Number(number))).toEqual([10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
      for (const { createdAtMs } of listed) {
        expect(Math.abs(Number(createdAtMs) - Date.now())).toBeLessThan(5 * MINUTE_MS);
      }
      const { ageSeconds } = await client.age(alice);
      expect(ageSeconds).toBeLessThan(5 * 60);
      for (const [number, file] of numbers) {
        const download = await client.download({ ...alice, number });
        expect(Buffer.concat(await Array.fromAsync(download)).equals(file)).toBe(true);
      }
    }
  });
});

/** A source that can be read at any position, so that it is compared before it is sent. */
function sourceOf(file: Buffer) {
  return {
    sizeBytes: file.length,
    async *stream() {
      yield file;
    },
    open: () => Promise.resolve(readerOf(file)),
  };
}
