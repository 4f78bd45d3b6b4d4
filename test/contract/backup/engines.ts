import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inject } from 'vitest';
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

/** A signal that never fires. */
export const never = new AbortController().signal;
