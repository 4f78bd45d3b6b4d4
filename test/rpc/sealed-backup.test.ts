import { randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { BackupClient, type BackupKey, type UploadSource } from '../../clients/index.ts';
import { readBackupConfig } from '../../services/backup/config.ts';
import { createContext } from '../../services/backup/context.ts';
import { startBackup } from '../../services/backup/service.ts';
import type { BackupStore, StoredObject } from '../../services/backup/store/store.ts';
import { never } from '../contract/backup/engines.ts';
import { madeDatabase, writePage } from '../contract/backup/transfers.ts';
import { freshBackupStore } from '../support/databases.ts';
import { readerOf } from '../support/memory-reader.ts';
import { Random } from '../support/random.ts';

const user = 'alice';
const key = randomBytes(32);

describe.each(['MinIO', 'a folder'] as const)('sealed backups on %s', (kind) => {
  let stack: AsyncDisposableStack;
  let client: BackupClient;
  let store: BackupStore;
  let folder: string | undefined;

  beforeEach(async () => {
    stack = new AsyncDisposableStack();
    const settings = await freshBackupStore(kind, inject('minioUrl'), stack);
    const url = settings.BACKUP_STORE_URL!;
    folder = url.startsWith('file:') ? url.slice('file:'.length) : undefined;
    const config = readBackupConfig({
      BACKUP_LISTEN: '127.0.0.1:0',
      BACKUP_METRICS_LISTEN: '127.0.0.1:0',
      LOG_LEVEL: 'silent',
      ...settings,
    });
    store = stack.use((await createContext(config)).store);
    const service = stack.use(await startBackup(config));
    client = stack.use(new BackupClient(service.address));
  });
  afterEach(() => stack.disposeAsync());

  const upload = (file: Buffer, options: { key?: BackupKey; database?: string } = {}) =>
    client.upload(sourceOf(file), { user, ...options });

  async function read(options: Partial<Parameters<BackupClient['download']>[0]> = {}) {
    const chunks: Uint8Array[] = [];
    for await (const chunk of await client.download({ user, ...options })) chunks.push(chunk);
    return Buffer.concat(chunks);
  }

  it.each([
    [1, 512],
    [1, 4096],
    [17, 4096],
    [65, 1024],
    [2_500, 4096],
    [9, 8192],
    [130, 65_536],
  ])('give back %i pages of %i bytes, from any offset', async (pages, pageSize) => {
    const file = madeDatabase(pages, pageSize);
    const { backup } = await upload(file, { key });
    expect([backup.key!.id.length, backup.seal.length]).toEqual([16, 32]);
    for (const offsetBytes of [0, 1, file.length >> 1, file.length - 1, file.length]) {
      const bytes = await read({ key, number: 1n, offsetBytes });
      expect(bytes.equals(file.subarray(offsetBytes))).toBe(true);
    }
  });

  it('give back bytes of any size that are declared opaque, and that do not compress', async () => {
    for (const size of [1, 4097, 300_001]) {
      const file = randomBytes(size);
      await client.upload(sourceOf(file), { user, key, opaque: true });
      expect((await read({ key })).equals(file)).toBe(true);
    }
  });

  it('are refused where the file is no database', async () => {
    const damaged = Buffer.from(madeDatabase(3));
    damaged.write('SQLite format 4');
    for (const file of [damaged, madeDatabase(3).subarray(0, -1), Buffer.alloc(50)]) {
      await expect(upload(file, { key })).rejects.toMatchObject({ reason: 'NOT_A_DATABASE' });
    }
  });

  it('send about as much as plain ones where little changed', async () => {
    const random = new Random(3);
    const file = madeDatabase(5_000);
    const plain = { database: 'plain' };
    const sealed = { database: 'sealed', key };
    for (const options of [plain, sealed]) await upload(file, options);
    for (let round = 0; round < 5; round++) {
      // Half of them in one place, as messages are appended, and half of them scattered.
      const first = random.between(0, 4_974);
      for (let at = 0; at < 25; at++) {
        writePage(file, first + at, 4096, 7 + round);
        writePage(file, random.between(0, 4_999), 4096, 7 + round);
      }
      const { sentBytes: plainBytes } = await upload(file, plain);
      const { sentBytes, backup } = await upload(file, sealed);
      expect(sentBytes).toBeLessThan(1.2 * plainBytes);
      expect(Number(backup.storedBytes)).toBeLessThan(1.4 * plainBytes);
      expect((await read(sealed)).equals(file)).toBe(true);
    }
    expect(await upload(file, sealed)).toMatchObject({ unchanged: true });
    expect((await read({ ...sealed, number: 1n })).equals(madeDatabase(5_000))).toBe(true);
  });

  it('take turns with plain ones, and share nothing with them', async () => {
    const file = madeDatabase(300);
    const other = randomBytes(32);
    const keys = [undefined, key, key, other, undefined, undefined, key];
    const whole = 300 * 128; // what of these pages does not compress
    for (const [at, key] of keys.entries()) {
      const { backup, unchanged } = await upload(file, key && { key });
      const isSame = at > 0 && keys[at - 1] === key;
      expect(unchanged).toBe(isSame);
      expect(Number(backup.storedBytes) > whole).toBe(!isSame);
    }
    for (const [at, key] of keys.entries()) {
      const number = BigInt(at + 1);
      expect((await read({ number, ...(key && { key }) })).equals(file)).toBe(true);
    }
  });

  it('tell a missing, a wrong and a needless key apart, before anything is read', async () => {
    const file = madeDatabase(40);
    await upload(file, { key });
    await expect(read()).rejects.toMatchObject({ reason: 'KEY_REQUIRED' });
    await expect(read({ offsetBytes: 5 })).rejects.toMatchObject({ reason: 'KEY_REQUIRED' });
    const wrong = { reason: 'WRONG_KEY' };
    await expect(read({ key: randomBytes(32) })).rejects.toMatchObject(wrong);
    await expect(read({ key: { passphrase: 'x' } })).rejects.toMatchObject(wrong);
    await expect(read({ key: randomBytes(31) })).rejects.toMatchObject({ reason: 'INVALID_KEY' });
    await upload(file);
    await expect(read({ key })).rejects.toMatchObject({ reason: 'NOT_SEALED' });
  });

  it('are never sent plain where they can not be sealed', async () => {
    const file = madeDatabase(40);
    const { open: _, ...whole } = sourceOf(file);
    const refused = [
      client.upload(whole, { user, key }),
      client.upload(sourceOf(file), { user, key, sha256: randomBytes(32) }),
      client.upload(sourceOf(file), { user, key: randomBytes(16) }),
      client.upload(sourceOf(file), { user, key: { passphrase: '' } }),
    ];
    const reasons = ['SOURCE_NOT_SEEKABLE', 'INVALID_FIELD', 'INVALID_KEY', 'INVALID_KEY'];
    for (const [at, reason] of reasons.entries()) {
      await expect(refused[at]).rejects.toMatchObject({ reason });
    }
    expect(await objects(store)).toEqual([]);
  });

  it('are opened on another device by the passphrase, and go on from it', async () => {
    const file = madeDatabase(600);
    const passphrase = 'corr\u00e9ct horse';
    const first = await upload(file, { key: { passphrase } });
    expect(first.backup.key!.scrypt).toMatchObject({ log2N: 17, r: 8, p: 1 });
    // As another keyboard may compose it.
    const key = { passphrase: passphrase.normalize('NFD') };
    expect((await read({ key })).equals(file)).toBe(true);
    writePage(file, 77, 4096, 3);
    const second = await upload(file, { key });
    expect(second.backup.key).toEqual(first.backup.key);
    expect(Number(second.backup.storedBytes)).toBeLessThan(10_000);

    const slip = { passphrase: 'correct hors' };
    await expect(upload(file, { key: slip })).rejects.toMatchObject({ reason: 'WRONG_KEY' });
    await expect(read({ key: slip })).rejects.toMatchObject({ reason: 'WRONG_KEY' });
    const third = await upload(file, { key: { ...slip, replaces: true } });
    expect(third.backup.key!.id).not.toEqual(second.backup.key!.id);
    expect((await read({ key: slip })).equals(file)).toBe(true);
    expect((await read({ key, number: 2n })).equals(file)).toBe(true);
  });

  it('leave no plain text of the database in the store', async () => {
    // Pages of words, and pages that do not compress and would stand in the store as they are.
    const file = Buffer.concat([madeDatabase(150), randomBytes(150 * 4096)]);
    const needles = new Set<string>();
    for (let at = 0; at + 16 <= file.length; at += 16) {
      needles.add(file.toString('latin1', at, at + 16));
    }
    await upload(file, { database: 'plain' });
    const [inPlain] = await needlesIn(stored(store), needles);
    expect(inPlain).toBeGreaterThan(1_000);
    for (const { key } of await objects(store)) await store.delete(key, never);

    await upload(file, { key });
    await upload(file, { key: { passphrase: 'another one' } });
    const [inSealed, bytes] = await needlesIn(stored(store), needles);
    expect(bytes).toBeGreaterThan(2 * 150 * 4096);
    expect(inSealed).toBe(0);
    if (folder === undefined) return;
    const [inFiles, fileBytes] = await needlesIn(filesIn(folder), needles);
    expect([inFiles, fileBytes >= bytes]).toEqual([0, true]);
  });

  it('tell of every bit that flips in the store, or need it not', {
    timeout: 300_000,
  }, async () => {
    const random = new Random(11);
    const file = madeDatabase(300);
    await upload(file, { key });
    writePage(file, 7, 4096, 5);
    await upload(file, { key });
    const told = { heads: new Set(), maps: new Set(), packs: new Set() };
    for (const { key: name, sizeBytes } of await objects(store)) {
      const whole = (await store.get(name, undefined, never))!;
      const ends = [0, 13, sizeBytes - 70, sizeBytes - 30, sizeBytes - 1];
      for (const at of [
        ...ends,
        ...Array.from({ length: 12 }, () => random.between(0, sizeBytes - 1)),
      ]) {
        const flipped = Buffer.from(whole);
        flipped[at]! ^= 1 << random.between(0, 7);
        await replace(store, name, flipped);
        const outcome = await read({ key, number: 2n }).catch((error) => error.reason);
        const [layer] = /heads|maps|packs/.exec(name) ?? [];
        told[layer as keyof typeof told].add(
          outcome instanceof Buffer ? outcome.equals(file) : outcome,
        );
      }
      await replace(store, name, whole);
    }
    // The first backup's map and head, and the indexes of packs, are of no use to a download.
    expect(told).toEqual({
      heads: new Set(['DAMAGED', true]),
      maps: new Set(['DAMAGED', true]),
      packs: new Set(['DIGEST_MISMATCH', true]),
    });
  });
});

function sourceOf(file: Buffer): Required<UploadSource> {
  return {
    sizeBytes: file.length,
    async *stream() {
      yield file;
    },
    open: async () => readerOf(file),
  };
}

function objects(store: BackupStore): Promise<StoredObject[]> {
  return store.list('', { limit: 1_000 }, never);
}

async function replace(store: BackupStore, key: string, bytes: Buffer): Promise<void> {
  await store.delete(key, never);
  await store.put(key, bytes, never);
}

async function* stored(store: BackupStore): AsyncGenerator<Buffer> {
  for (const { key } of await objects(store)) yield (await store.get(key, undefined, never))!;
}

/** All files of a folder and those in it, whatever they are. */
async function* filesIn(folder: string): AsyncGenerator<Buffer> {
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) yield await readFile(join(entry.parentPath, entry.name));
  }
}

/** How many of the needles stand somewhere in the pieces, and how many bytes were looked at. */
async function needlesIn(
  pieces: AsyncIterable<Buffer>,
  needles: ReadonlySet<string>,
): Promise<[number, number]> {
  const found = new Set<string>();
  let bytes = 0;
  for await (const piece of pieces) {
    const text = piece.toString('latin1');
    bytes += text.length;
    for (let at = 0; at + 16 <= text.length; at++) {
      const needle = text.substring(at, at + 16);
      if (needles.has(needle)) found.add(needle);
    }
  }
  return [found.size, bytes];
}
