import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inject } from 'vitest';
import { DiskStore } from '../../../services/backup/store/disk.ts';
import { type MinioOptions, MinioStore } from '../../../services/backup/store/minio.ts';
import type { BackupStore } from '../../../services/backup/store/store.ts';
import { type BucketAddress, freshBucket } from '../../support/databases.ts';

/** An engine under test: opens an empty store of a test's own, which ends with the stack. */
export type OpenStore = (stack: AsyncDisposableStack) => Promise<BackupStore>;

/** Every engine of the backup store, by name. */
export const engines: readonly (readonly [name: string, open: OpenStore])[] = [
  [
    'folder',
    async (stack) => {
      const folder = stack.use(await mkdtempDisposable(join(tmpdir(), 'backups-')));
      return stack.use(await DiskStore.open(folder.path));
    },
  ],
  [
    'minio',
    async (stack) => {
      const bucket = stack.use(await freshBucket(inject('minioUrl')));
      return stack.use(new MinioStore(optionsOf(bucket)));
    },
  ],
];

/** How a store in a bucket is opened. */
export function optionsOf({ url, accessKey, secretKey }: BucketAddress): MinioOptions {
  const { hostname, port, pathname } = new URL(url.replace(/^s3\+/, ''));
  const bucket = pathname.slice(1);
  return { endPoint: hostname, port: Number(port), tls: false, bucket, accessKey, secretKey };
}

/** A signal that never fires. */
export const never = new AbortController().signal;
