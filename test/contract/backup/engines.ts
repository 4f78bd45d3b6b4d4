import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inject, onTestFinished } from 'vitest';
import { DiskStore } from '../../../services/backup/store/disk.ts';
import { MinioStore } from '../../../services/backup/store/minio.ts';
import type { BackupStore } from '../../../services/backup/store/store.ts';
import { freshBucket } from '../../support/databases.ts';
import { optionsOf } from './bucket-options.ts';

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

/** An empty store of the running test's own, closed when the test has ended. */
export async function opened(open: OpenStore): Promise<BackupStore> {
  const stack = new AsyncDisposableStack();
  onTestFinished(() => stack.disposeAsync());
  return open(stack);
}

/** A signal that never fires. */
export const never = new AbortController().signal;
