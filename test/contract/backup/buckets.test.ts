import { randomBytes } from 'node:crypto';
import type { Client } from 'minio';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MinioStore } from '../../../services/backup/store/minio.ts';
import { type BucketAddress, bucketAddress } from '../../support/databases.ts';
import { type OwnEngine, startMinioOnFolders } from '../../support/engines.ts';
import { minioClient } from '../../support/minio.ts';
import { optionsOf } from './bucket-options.ts';
import { uploadChanges } from './dialogue.ts';
import { never } from './engines.ts';
import { storeCases } from './store-cases.ts';
import { download, list, madeDatabase, upload, writePage } from './transfers.ts';

/** Ways to make a bucket. */
const kinds: Readonly<Record<string, (client: Client, name: string) => Promise<void>>> = {
  plain: (client, name) => client.makeBucket(name),
  versioned: async (client, name) => {
    await client.makeBucket(name);
    await client.setBucketVersioning(name, { Status: 'Enabled' });
  },
  locked: async (client, name) => {
    await client.makeBucket(name, 'us-east-1', { ObjectLocking: true });
    await client.setObjectLockConfig(name, { mode: 'GOVERNANCE', validity: 1, unit: 'Days' });
  },
};

let minio: OwnEngine;
beforeAll(async () => {
  minio = await startMinioOnFolders();
});
afterAll(() => minio[Symbol.asyncDispose]());

describe.each(Object.entries(kinds))('a %s bucket of a MinIO on four folders', (kind, make) => {
  // The bucket goes with the server: what is locked can't be removed before.
  const fresh = async (): Promise<BucketAddress> => {
    const name = `test-${randomBytes(8).toString('hex')}`;
    await make(minioClient(minio.url), name);
    return bucketAddress(minio.url, name);
  };

  storeCases(async (stack) => stack.use(new MinioStore(optionsOf(await fresh()))));

  it('keeps backups', async () => {
    await using store = new MinioStore(optionsOf(await fresh()));
    const file = madeDatabase(300);
    await upload(store, file);
    writePage(file, 70, 4096, 9);
    expect((await uploadChanges(store, file, { mode: 2, pageSizeBytes: 4096 })).asked).toEqual([
      70,
    ]);
    expect((await upload(store, file)).unchanged).toBe(true);
    expect((await download(store)).file.equals(file)).toBe(true);
    expect((await list(store)).backups).toHaveLength(3);
  });

  it(`${kind === 'plain' ? 'keeps nothing' : 'keeps the bytes'} of what is deleted`, async () => {
    const options = optionsOf(await fresh());
    await using store = new MinioStore(options);
    await store.put('u/a/x', Buffer.from('first'), never);
    await store.delete('u/a/x', never);
    await store.put('u/a/x', Buffer.from('second'), never);
    await store.delete('u/a/x', never);
    expect(await store.get('u/a/x', undefined, never)).toBeUndefined();
    expect(await store.list('u/', { limit: 9 }, never)).toEqual([]);
    const client = minioClient(minio.url);
    const versions = await versionsIn(client, options.bucket);
    expect(versions).toHaveLength(kind === 'plain' ? 0 : 2);
    if (kind !== 'locked') return;
    for (const versionId of versions) {
      const removing = client.removeObject(options.bucket, 'u/a/x', { versionId });
      await expect(removing).rejects.toThrow('WORM protected');
    }
  });
});

/** Ids of all versions of objects in a bucket, without the markers of deletions. */
async function versionsIn(client: Client, bucket: string): Promise<string[]> {
  const listed = client.listObjects(bucket, '', true, { IncludeVersion: true });
  const all = (await listed.toArray()) as { versionId: string; isDeleteMarker: boolean }[];
  return all.filter((one) => !one.isDeleteMarker).map(({ versionId }) => versionId);
}
