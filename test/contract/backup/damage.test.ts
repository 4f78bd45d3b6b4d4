import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { decodeHead, encodeHead } from '../../../services/backup/domain/kept/head.ts';
import { keys, uploadHash } from '../../../services/backup/domain/keys.ts';
import type { BackupStore, ByteRange } from '../../../services/backup/store/store.ts';
import { engines, never, opened } from './engines.ts';
import { age, download, list, madeDatabase, upload, writePage } from './transfers.ts';

describe.each(engines)('what the store gives back damaged: %s', (_name, open) => {
  it('is never sent, and never breaks the next upload', { timeout: 120_000 }, async () => {
    const store = new DamagingStore(await opened(open));
    const file = madeDatabase(400);
    await upload(store, file);
    const changed = Buffer.from(file);
    for (const page of [3, 100, 250, 399]) writePage(changed, page, 4096, 9);
    await upload(store, changed);

    for (const { key, sizeBytes } of await store.inner.list('u/', { limit: 1_000 }, never)) {
      for (const at of [0, 7, sizeBytes >> 1, sizeBytes - 30, sizeBytes - 1]) {
        store.damage = { key, at };
        const sent = await download(store).catch((error: Error) => error);
        if (sent instanceof Error) expect(sent).toMatchObject({ reason: 'DAMAGED' });
        else expect([file, changed].some((state) => state.equals(sent.file))).toBe(true);
      }
      store.damage = { key, at: sizeBytes >> 1 };
      const user = 'alice';
      const grown = Buffer.concat([changed, madeDatabase(3, 4096, 11)]);
      const { backup } = await upload(store, grown, { user });
      const number = backup.number;
      store.damage = undefined;
      await upload(store, changed, { user });
      expect((await download(store, { number })).file.equals(grown)).toBe(true);
    }
  });

  it('is replaced by the next upload of the same file, where that is found out', async () => {
    const store = new DamagingStore(await opened(open));
    const file = madeDatabase(100);
    await upload(store, file);
    const [map] = (await store.inner.list('u/', { limit: 1_000 }, never)).filter(({ key }) =>
      key.includes('/maps/'),
    );
    store.damage = { key: map!.key, at: map!.sizeBytes - 40 };
    await expect(download(store)).rejects.toMatchObject({ reason: 'DAMAGED' });
    const { backup, unchanged } = await upload(store, file);
    expect(unchanged).toBe(false);
    expect(backup.number).toBe(2n);
    expect((await download(store)).file.equals(file)).toBe(true);
  });

  it.each(['gone', 'short', 'empty'])('is stored anew where a pack is %s', async (how) => {
    const store = new DamagingStore(await opened(open));
    const first = madeDatabase(100);
    const second = Buffer.from(first);
    for (const page of [3, 50, 99]) writePage(second, page, 4096, 9);
    const other = madeDatabase(100, 4096, 7);
    for (const file of [first, second, other]) await upload(store, file);
    const packs = (await store.inner.list('u/', { limit: 1_000 }, never))
      .filter(({ key }) => key.includes('/packs/'))
      .map(({ key, sizeBytes }) => ({ key, left: how === 'short' ? sizeBytes - 1 : 0 }));
    expect(packs).toHaveLength(3);

    for (const { key, left } of packs) {
      store.cut.set(key, how === 'gone' ? undefined : left);
      // One of these is the newest backup, the others' maps are found by their roots.
      for (const file of [other, first, second, other, other]) {
        const { backup } = await upload(store, file);
        expect((await download(store, { number: backup.number })).file.equals(file)).toBe(true);
      }
      expect((await upload(store, other)).unchanged).toBe(true);
    }
    expect((await download(store, { number: 1n })).file.equals(first)).toBe(true);
  });

  it('is mended by the same upload that comes again', async () => {
    const store = new DamagingStore(await opened(open));
    const file = madeDatabase(100);
    await upload(store, file, { uploadId: 'one' });
    await upload(store, madeDatabase(100, 4096, 7), { uploadId: 'two' });
    const objects = await store.inner.list('u/', { limit: 1_000 }, never);
    for (const { key } of objects) if (key.includes('/packs/')) store.cut.set(key, undefined);
    const { repeated, backup } = await upload(store, file, { uploadId: 'one' });
    expect([repeated, backup.number]).toEqual([true, 1n]);
    expect((await download(store, { number: 1n })).file.equals(file)).toBe(true);
  });

  it('is not known for what it should be where it is another pack', async () => {
    const store = new DamagingStore(await opened(open));
    const file = madeDatabase(100);
    await upload(store, file);
    const pages = { one: randomBytes(4096), other: randomBytes(4096) };
    for (const [uploadId, page] of Object.entries(pages)) {
      page.copy(file, 50 * 4096);
      await upload(store, file, { uploadId });
    }
    const prefix = keys.packs(keys.database({ user: 'alice', database: 'backup.db' }));
    const [one, other] = await Promise.all(
      Object.keys(pages).map((id) => store.list(prefix + uploadHash(id), { limit: 9 }, never)),
    );
    expect(one![0]!.sizeBytes).toBe(other![0]!.sizeBytes);
    store.instead = { [other![0]!.key]: one![0]!.key };

    // The page is that of the pack that comes, in the place of one that is in the pack that should.
    pages.one.copy(file, 50 * 4096);
    writePage(file, 70, 4096, 9);
    const { backup } = await upload(store, file);
    store.instead = {};
    expect((await download(store, { number: backup.number })).file.equals(file)).toBe(true);
  });

  it('does not count where it is a head', async () => {
    const store = new DamagingStore(await opened(open));
    const file = madeDatabase(10);
    await upload(store, file, { label: 'sound' });
    await upload(store, file, { label: 'damaged' });
    const prefix = keys.database({ user: 'alice', database: 'backup.db' });
    store.damage = { key: keys.head(prefix, 2), at: 60 };
    expect((await list(store)).backups.map(({ number }) => number)).toEqual([1n]);
    expect((await age(store)).newestNumber).toBe(1n);
    expect((await download(store)).backup.label).toBe('sound');
    await expect(download(store, { number: 2n })).rejects.toMatchObject({ reason: 'DAMAGED' });
    expect((await upload(store, file)).backup.number).toBe(3n);
  });

  it('is stored anew where it is the head of the upload that comes again', async () => {
    const store = new DamagingStore(await opened(open));
    const file = madeDatabase(10);
    await upload(store, file, { uploadId: 'one' });
    await upload(store, file, { uploadId: 'two' });
    const prefix = keys.database({ user: 'alice', database: 'backup.db' });
    store.damage = { key: keys.head(prefix, 1), at: 60 };
    const again = await upload(store, file, { uploadId: 'one' });
    expect(again).toMatchObject({ repeated: false, backup: { number: 3n } });
    expect((await download(store)).file.equals(file)).toBe(true);
    expect(await upload(store, file, { uploadId: 'one' })).toMatchObject({
      repeated: true,
      backup: { number: 3n },
    });
  });
});

describe.each(engines)('a head under the key of another: %s', (_name, open) => {
  it.each([
    ['of the same database', {}],
    ['of another database', { database: 'other' }],
    ['of another user', { user: 'bob' }],
  ])('is damaged where it is one %s', async (_whose, origin) => {
    const store = await opened(open);
    const file = madeDatabase(10);
    const name = { user: 'alice', database: 'backup.db' };
    await upload(store, file, name);
    for (let uploads = 0; uploads < 2; uploads++) await upload(store, file, { ...name, ...origin });
    const from = keys.database({ ...name, ...origin });
    const misplaced = await store.get(keys.head(from, 2), undefined, never);
    await store.put(keys.head(keys.database(name), 9), misplaced!, never);

    await expect(download(store, { number: 9n })).rejects.toMatchObject({ reason: 'DAMAGED' });
    const numbers = (await list(store)).backups.map(({ number }) => number);
    expect(numbers).not.toContain(9n);
    expect(numbers).toContain(1n);
    expect((await age(store)).newestNumber).toBe(numbers[0]);
    expect((await upload(store, file)).backup.number).toBe(10n);
  });
});

describe.each(engines)('numbers of deleted backups: %s', (_name, open) => {
  it('are not used again', async () => {
    const store = await opened(open);
    const file = madeDatabase(10);
    await upload(store, file, { uploadId: 'one' });
    const prefix = keys.database({ user: 'alice', database: 'backup.db' });
    const bytes = await store.get(keys.head(prefix, 1), undefined, never);
    const marker = { ...decodeHead(bytes!), number: 2, deleted: true };
    await store.put(keys.head(prefix, 2), encodeHead(marker), never);

    expect((await list(store)).backups.map(({ number }) => number)).toEqual([1n]);
    expect((await age(store)).newestNumber).toBe(1n);
    expect((await download(store)).backup.number).toBe(1n);
    await expect(download(store, { number: 2n })).rejects.toMatchObject({
      reason: 'BACKUP_NOT_FOUND',
    });
    expect((await upload(store, file)).backup.number).toBe(3n);
  });
});

/** A store that gives one byte of one object back changed, and others cut short. */
class DamagingStore implements BackupStore {
  readonly inner: BackupStore;
  damage: { key: string; at: number } | undefined;
  /** By their keys, how many bytes are left of objects; undefined where the whole object is gone. */
  readonly cut = new Map<string, number | undefined>();
  /** By their keys, those of which the bytes come instead. */
  instead: Record<string, string> = {};

  constructor(inner: BackupStore) {
    this.inner = inner;
  }

  async get(key: string, range: ByteRange | undefined, signal: AbortSignal) {
    const bytes = await this.#getCut(key, range, signal);
    const at = (this.damage?.at ?? 0) - (range?.offset ?? 0);
    if (bytes !== undefined && key === this.damage?.key && at >= 0 && at < bytes.length) {
      bytes[at]! ^= 1;
    }
    return bytes;
  }

  readonly requestsInFlight = 0;
  put: BackupStore['put'] = (...of) => this.inner.put(...of);
  delete: BackupStore['delete'] = (...of) => this.inner.delete(...of);
  nowMs: BackupStore['nowMs'] = (...of) => this.inner.nowMs(...of);
  check: BackupStore['check'] = (...of) => this.inner.check(...of);

  async list(...of: Parameters<BackupStore['list']>) {
    const objects = await this.inner.list(...of);
    return objects.flatMap((object) => {
      if (!this.cut.has(object.key)) return [object];
      const sizeBytes = this.cut.get(object.key);
      return sizeBytes === undefined ? [] : [{ ...object, sizeBytes }];
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  async #getCut(key: string, range: ByteRange | undefined, signal: AbortSignal) {
    const bytes = await this.inner.get(this.instead[key] ?? key, range, signal);
    if (!this.cut.has(key)) return bytes;
    const left = this.cut.get(key);
    if (left === undefined) return undefined;
    return bytes?.subarray(0, Math.max(0, left - (range?.offset ?? 0)));
  }
}
