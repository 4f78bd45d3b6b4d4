import { mkdir, mkdtempDisposable, readdir, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FileQuota } from '../../clients/device/files/file-quota.ts';

/** A folder with a file of 100 bytes in each of some shards, the first one used longest ago. */
async function filled(stack: AsyncDisposableStack, shards: readonly string[]): Promise<string> {
  const folder = stack.use(await mkdtempDisposable(join(tmpdir(), 'quota-'))).path;
  for (const [n, shard] of shards.entries()) {
    await mkdir(join(folder, shard));
    await writeFile(join(folder, shard, 'file'), Buffer.alloc(100));
    await utimes(join(folder, shard, 'file'), n + 1, n + 1);
  }
  return folder;
}

async function left(folder: string, shards: readonly string[]): Promise<string[]> {
  const found = [];
  for (const shard of shards) {
    if ((await readdir(join(folder, shard))).includes('file')) found.push(shard);
  }
  return found;
}

const SHARDS = ['0a', '0b', '0c', '0d'];

describe('the quota of a folder of files', () => {
  it('removes nothing as long as there is room', async () => {
    await using stack = new AsyncDisposableStack();
    const folder = await filled(stack, SHARDS);
    using claim = new FileQuota(folder, 600).claim('new');
    await claim.reserve(200);
    expect(await left(folder, SHARDS)).toEqual(SHARDS);
  });

  it('removes what was not used for longest, but nothing that is claimed', async () => {
    await using stack = new AsyncDisposableStack();
    const folder = await filled(stack, SHARDS);
    const quota = new FileQuota(folder, 500);
    using oldest = quota.claim(join(folder, '0a', 'file'), 100);
    using claim = quota.claim('new');
    await claim.reserve(150);
    expect(await left(folder, SHARDS)).toEqual(['0a', '0c', '0d']);
    await oldest.reserve(100);
    expect(await left(folder, SHARDS)).toEqual(['0a', '0d']);
  });

  it('refuses what others have claimed, and gives it once they have ended', async () => {
    await using stack = new AsyncDisposableStack();
    const quota = new FileQuota(await filled(stack, []), 500);
    using one = quota.claim('one');
    using two = quota.claim('two');
    await one.reserve(300);
    await expect(two.reserve(201)).rejects.toMatchObject({ reason: 'NO_ROOM' });
    await two.reserve(200);
    await one.came(100);
    one[Symbol.dispose]();
    one[Symbol.dispose]();
    await two.reserve(400);
    await expect(two.reserve(501)).rejects.toMatchObject({ reason: 'NO_ROOM' });
  });
});
