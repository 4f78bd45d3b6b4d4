import { randomBytes } from 'node:crypto';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { BackupClient, type UploadSource } from '../../clients/index.ts';
import { readBackupConfig } from '../../services/backup/config.ts';
import { createContext } from '../../services/backup/context.ts';
import { startBackup } from '../../services/backup/service.ts';
import type { BackupStore } from '../../services/backup/store/store.ts';
import { madeDatabase, writePage } from '../contract/backup/transfers.ts';
import { freshBucket } from '../support/databases.ts';
import { readerOf } from '../support/memory-reader.ts';

type OpenStoreSettings = (stack: AsyncDisposableStack) => Promise<Record<string, string>>;

const engines: readonly (readonly [name: string, open: OpenStoreSettings])[] = [
  [
    'folder',
    async (stack) => {
      const folder = stack.use(await mkdtempDisposable(join(tmpdir(), 'sealed-')));
      return { BACKUP_STORE_URL: `file:${folder.path}` };
    },
  ],
  [
    'minio',
    async (stack) => {
      const bucket = stack.use(await freshBucket(inject('minioUrl')));
      const { url, accessKey, secretKey } = bucket;
      return { BACKUP_STORE_URL: url, MINIO_ACCESS_KEY: accessKey, MINIO_SECRET_KEY: secretKey };
    },
  ],
];

const user = 'alice';
const key = randomBytes(32);

describe.each(engines)('sealed backups: %s', (_name, open) => {
  let stack: AsyncDisposableStack;
  let client: BackupClient;
  let store: BackupStore;

  beforeEach(async () => {
    stack = new AsyncDisposableStack();
    const config = readBackupConfig({
      BACKUP_LISTEN: '127.0.0.1:0',
      BACKUP_METRICS_LISTEN: '127.0.0.1:0',
      ...(await open(stack)),
    });
    store = stack.use((await createContext(config)).store);
    const service = stack.use(await startBackup(config));
    client = stack.use(new BackupClient(service.address));
  });
  afterEach(() => stack.disposeAsync());

  it.each([
    [1, 512],
    [1, 4096],
    [17, 4096],
    [65, 1024],
    [2_500, 4096],
    [9, 8192],
    [130, 65_536],
  ])('give back %i pages of %i bytes', async (pages, pageSize) => {
    const file = madeDatabase(pages, pageSize);
    const { backup } = await client.upload(sourceOf(file), { user, key });
    expect(backup.key!.id).toHaveLength(16);
    expect((await read(client, { key })).equals(file)).toBe(true);
    const offset = file.length >> 1;
    expect((await read(client, { key, offsetBytes: offset })).equals(file.subarray(offset))).toBe(
      true,
    );
  });
});

function sourceOf(file: Buffer): UploadSource {
  return {
    sizeBytes: file.length,
    async *stream() {
      yield file;
    },
    open: async () => readerOf(file),
  };
}

async function read(client: BackupClient, options: object): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of await client.download({ user, ...options })) chunks.push(chunk);
  return Buffer.concat(chunks);
}
