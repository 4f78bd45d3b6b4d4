import type { BackupConfig } from './config.ts';
import { DiskStore } from './store/disk.ts';
import { MinioStore } from './store/minio.ts';
import type { BackupStore } from './store/store.ts';

/** What the handlers share. */
export interface BackupContext {
  readonly store: BackupStore;
}

/** Opens the store that the configuration names. Whoever calls it disposes of the store. */
export async function createContext(config: BackupConfig): Promise<BackupContext> {
  const setting = config.BACKUP_STORE_URL;
  if (setting.kind === 'folder') return { store: await DiskStore.open(setting.path) };
  const { MINIO_ACCESS_KEY: accessKey, MINIO_SECRET_KEY: secretKey } = config;
  return { store: new MinioStore({ ...setting, accessKey, secretKey }) };
}
