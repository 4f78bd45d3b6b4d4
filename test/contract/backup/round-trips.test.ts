import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import type { BackupStore } from '../../../services/backup/store/store.ts';
import { engines, opened } from './engines.ts';
import { download, madeDatabase, upload, writePage } from './transfers.ts';

describe.each(engines)('uploading and downloading: %s', (_name, open) => {
  let store: BackupStore;

  beforeEach(async () => {
    store = await opened(open);
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
  ])('gives back %i pages of %i bytes', async (pages, pageSize) => {
    const file = madeDatabase(pages, pageSize);
    const { backup } = await upload(store, file);
    expect(backup.sizeBytes).toBe(BigInt(file.length));
    expect(backup.pageSizeBytes).toBe(Math.max(pageSize, 4096));
    expect((await download(store)).file.equals(file)).toBe(true);
  });

  it('gives back bytes of any size that are declared opaque', async () => {
    for (const size of [1, 99, 4097, 65_535, 65_537, 300_001]) {
      const file = madeDatabase(80).subarray(16, 16 + size);
      const { backup } = await upload(store, file, { opaque: true });
      expect(backup.opaque).toBe(true);
      expect((await download(store)).file.equals(file)).toBe(true);
    }
  });

  it('does not depend on the pieces in which a file comes', async () => {
    const file = madeDatabase(40);
    const { backup } = await upload(store, file);
    for (const partBytes of [33, 4095, 70_001, 1 << 20]) {
      const again = await upload(store, file, {}, partBytes);
      expect(again.unchanged).toBe(true);
      expect(again.backup.root).toEqual(backup.root);
    }
  });

  it('gives back more than one segment of a map and more than one pack', {
    timeout: 120_000,
  }, async () => {
    const file = madeDatabase(17_000);
    for (let at = 0; at < file.length; at += 4096) file.writeUInt32LE(at, at + 1000);
    await upload(store, file);
    const { file: back } = await download(store);
    expect(back.equals(file)).toBe(true);
    const changed = Buffer.from(file);
    for (const page of [0, 1, 1023, 1024, 9000, 16_383, 16_384, 16_999]) {
      writePage(changed, page, 4096, 5);
    }
    const { backup } = await upload(store, changed);
    expect(backup.storedBytes).toBeLessThan(400_000n);
    expect((await download(store)).file.equals(changed)).toBe(true);
    const offset = 16_380 * 4096 + 77;
    const tail = await download(store, { offsetBytes: BigInt(offset) });
    expect(tail.file.equals(changed.subarray(offset))).toBe(true);
    expect((await download(store, { number: 1n })).file.equals(file)).toBe(true);
  });

  it('begins a download at any byte', async () => {
    const file = madeDatabase(130);
    await upload(store, file);
    for (const offset of [
      1,
      4096,
      65_535,
      65_536,
      262_144,
      262_145,
      file.length - 1,
      file.length,
    ]) {
      const { file: rest } = await download(store, { offsetBytes: BigInt(offset) });
      expect(rest.equals(file.subarray(offset))).toBe(true);
    }
  });

  it('stores only pages that changed', async () => {
    const file = madeDatabase(2_000);
    const first = await upload(store, file);
    writePage(file, 700, 4096, 1);
    writePage(file, 1_500, 4096, 1);
    const second = await upload(store, file);
    const pages = 2_000;
    expect(Number(first.backup.storedBytes)).toBeGreaterThan(pages * 128);
    // Two pages, a map with the digests of 125 extents, and a head.
    expect(Number(second.backup.storedBytes)).toBeLessThan(6_000);
    expect((await download(store)).file.equals(file)).toBe(true);
  });

  it('stores nothing but a head where nothing changed', async () => {
    const file = madeDatabase(50);
    const first = await upload(store, file);
    const second = await upload(store, file);
    expect([first.unchanged, second.unchanged]).toEqual([false, true]);
    expect([first.backup.number, second.backup.number]).toEqual([1n, 2n]);
    expect(Number(second.backup.storedBytes)).toBeLessThan(1_500);
    expect((await download(store, { number: 2n })).file.equals(file)).toBe(true);
  });

  it('keeps every state, also one that comes back', async () => {
    const [one, other] = [madeDatabase(50, 4096, 1), madeDatabase(50, 4096, 2)];
    for (const file of [one, other, one]) expect((await upload(store, file)).unchanged).toBe(false);
    for (const [at, file] of [one, other, one].entries()) {
      const { file: back } = await download(store, { number: BigInt(at + 1) });
      expect(back.equals(file)).toBe(true);
    }
  });

  it('begins anew where the size of pages changes', async () => {
    const [one, other] = [madeDatabase(64, 4096), madeDatabase(64, 8192)];
    await upload(store, one);
    await upload(store, other);
    expect((await download(store)).file.equals(other)).toBe(true);
  });

  it('checks and keeps the SHA-256 of the whole', async () => {
    const file = madeDatabase(20);
    const sha256 = createHash('sha256').update(file).digest();
    const { backup } = await upload(store, file, { sha256 });
    expect(Buffer.from(backup.sha256)).toEqual(sha256);
  });

  it('keeps what random devices do', { timeout: 120_000 }, async () => {
    const edit = fc.oneof(
      fc.record({
        kind: fc.constant('pages' as const),
        at: fc.nat(),
        count: fc.integer({ min: 1, max: 40 }),
      }),
      fc.record({
        kind: fc.constant('grow' as const),
        at: fc.nat(),
        count: fc.integer({ min: 1, max: 200 }),
      }),
      fc.record({
        kind: fc.constant('shrink' as const),
        at: fc.nat(),
        count: fc.integer({ min: 1, max: 200 }),
      }),
      fc.record({ kind: fc.constant('none' as const), at: fc.nat(), count: fc.constant(0) }),
    );
    let device = 0;
    const property = fc.asyncProperty(
      fc.constantFrom(512, 1024, 4096, 16_384),
      fc.array(edit, { minLength: 1, maxLength: 6 }),
      async (pageSize, edits) => {
        device += 1;
        const user = `device ${device}`;
        let file = madeDatabase(60, pageSize);
        const states = [Buffer.from(file)];
        await upload(store, file, { user });
        for (const [seed, { kind, at, count }] of edits.entries()) {
          const pages = file.length / pageSize;
          if (kind === 'grow') {
            file = Buffer.concat([file, madeDatabase(count, pageSize, seed + 2)]);
          } else if (kind === 'shrink') {
            file = Buffer.from(file.subarray(0, Math.max(1, pages - count) * pageSize));
          } else {
            for (let n = 0; n < count; n++) {
              writePage(file, (at + n * 7) % pages, pageSize, seed + 2);
            }
          }
          states.push(Buffer.from(file));
          await upload(store, file, { user }, 50_000);
        }
        for (const [index, state] of states.entries()) {
          const { file: back } = await download(store, { user, number: BigInt(index + 1) });
          expect(back.equals(state)).toBe(true);
        }
      },
    );
    await fc.assert(property, { numRuns: 12 });
  });
});
