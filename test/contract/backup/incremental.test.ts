import { beforeEach, describe, expect, it } from 'vitest';
import { uploadChanges } from './dialogue.ts';
import { engines, opened } from './engines.ts';
import { FaultyStore } from './faulty-store.ts';
import { download, list, madeDatabase, upload, writePage } from './transfers.ts';

describe.each(engines)('incremental uploads: %s', (_name, open) => {
  let store: FaultyStore;

  beforeEach(async () => {
    store = new FaultyStore(await opened(open));
  });

  it.each([
    [1, 512],
    [1, 4096],
    [7, 512],
    [16, 4096],
    [17, 4096],
    [65, 1024],
    [300, 4096],
    [9, 8192],
    [5, 65_536],
  ])('make what plain ones make of %i pages of %i bytes', async (pages, pageSize) => {
    const file = madeDatabase(pages, pageSize);
    const plain = await upload(store, file, { user: 'plain' });
    const { backup, unchanged } = await uploadChanges(store, file, { label: 'phone' });
    expect(unchanged).toBe(false);
    const { root, sizeBytes, pageSizeBytes } = plain.backup;
    expect(backup).toMatchObject({ root, sizeBytes, pageSizeBytes, label: 'phone' });
    expect((await download(store)).file.equals(file)).toBe(true);
  });

  it('give back bytes of any size that are declared opaque', async () => {
    for (const size of [1, 99, 4097, 65_535, 65_537, 300_001]) {
      const file = madeDatabase(80).subarray(16, 16 + size);
      const { backup } = await uploadChanges(store, file, { opaque: true });
      expect(backup.opaque).toBe(true);
      expect((await download(store)).file.equals(file)).toBe(true);
    }
  });

  it('give back more segments than may be under way at once, and send only what changed', {
    timeout: 120_000,
  }, async () => {
    const file = madeDatabase(52_000);
    const first = await uploadChanges(store, file);
    expect(first.asked).toHaveLength(52_000);
    const changed = [0, 1, 1023, 1024, 16_383, 16_384, 40_000, 51_999];
    for (const page of changed) writePage(file, page, 4096, 5);
    const second = await uploadChanges(store, file);
    expect(second.asked).toEqual(changed);
    expect(Number(second.backup.storedBytes)).toBeLessThan(100_000);
    expect((await download(store)).file.equals(file)).toBe(true);
  });

  it('add one small object where nothing changed', async () => {
    const file = madeDatabase(500);
    await uploadChanges(store, file);
    const had = store.puts;
    const { backup, unchanged, asked } = await uploadChanges(store, file);
    expect({ number: backup.number, unchanged, asked }).toEqual({
      number: 2n,
      unchanged: true,
      asked: [],
    });
    expect(store.puts - had).toBe(1);
    expect(Number(backup.storedBytes)).toBeLessThan(1_500);
    expect((await download(store)).file.equals(file)).toBe(true);
  });

  it('take turns with plain ones on one database', async () => {
    const file = madeDatabase(300);
    await upload(store, file);
    expect(await uploadChanges(store, file)).toMatchObject({ unchanged: true, asked: [] });
    writePage(file, 7, 4096, 1);
    expect(await uploadChanges(store, file)).toMatchObject({ unchanged: false, asked: [7] });
    expect(await upload(store, file)).toMatchObject({ unchanged: true });
    writePage(file, 8, 4096, 1);
    expect(Number((await upload(store, file)).backup.storedBytes)).toBeLessThan(5_000);
    expect(await uploadChanges(store, file)).toMatchObject({ unchanged: true, asked: [] });
    expect((await list(store)).backups).toHaveLength(6);
    expect((await download(store)).file.equals(file)).toBe(true);
  });

  it('follow a file that grows and shrinks', async () => {
    const [small, large] = [madeDatabase(100), madeDatabase(1_000)];
    for (const file of [small, large, small]) {
      await uploadChanges(store, file);
      expect((await download(store)).file.equals(file)).toBe(true);
    }
    expect((await uploadChanges(store, large)).asked).toHaveLength(900);
  });

  it('begin anew where the size of pages changes', async () => {
    await uploadChanges(store, madeDatabase(64, 4096));
    const file = madeDatabase(64, 8192);
    expect((await uploadChanges(store, file)).asked).toHaveLength(64);
    expect((await download(store)).file.equals(file)).toBe(true);
  });
});
