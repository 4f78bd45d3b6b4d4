import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { FrameCodec } from '../../../clients/format/frames.ts';
import { MapBuilder, newFramePlace } from '../../../services/backup/domain/packs/map-file.ts';
import { PackWriter } from '../../../services/backup/domain/packs/pack-writer.ts';
import { DiskStore } from '../../../services/backup/store/disk.ts';

const { signal } = new AbortController();

test('takes no frame that comes after its end', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'backscroll-packs-'));
  await using store = await DiskStore.open(folder.path);
  const map = new MapBuilder({ sizeBytes: 8192, pageSizeBytes: 4096 });
  const options = { store, prefix: 'u/user/database/', uploadId: 'one', map, openMs: 3_600_000 };
  const packs = new PackWriter({ ...options, signal });
  const add = (page: number) => {
    const group = { pages: [page], digests: Buffer.alloc(16), rawBytes: 4096 };
    const packed = { codec: FrameCodec.raw, data: Buffer.alloc(4096) };
    return packs.add(group, packed, newFramePlace());
  };
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  try {
    await add(0);
    expect(vi.getTimerCount()).toBe(1);
    await packs[Symbol.asyncDispose]();
    await expect(add(1)).rejects.toThrow('aborted');
    expect(vi.getTimerCount()).toBe(0);
  } finally {
    vi.useRealTimers();
  }
});
