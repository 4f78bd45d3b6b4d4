import { z } from 'zod';
import { ConfigError, listenSetting, readConfig } from '../common/config.ts';

/** Where the backups are kept. */
export type StoreSetting =
  | { readonly kind: 'folder'; readonly path: string }
  | {
      readonly kind: 'minio';
      readonly host: string;
      readonly port: number;
      readonly tls: boolean;
      readonly bucket: string;
    };

const STORE_FORMS =
  'must be file:PATH, or s3+http://HOST:PORT/BUCKET or s3+https://… without a user and password';

const SETTINGS = {
  BACKUP_LISTEN: listenSetting('127.0.0.1:50052'),
  BACKUP_METRICS_LISTEN: listenSetting('127.0.0.1:9465'),
  BACKUP_STORE_URL: z
    .string()
    .default('file:./data/backups')
    .transform((text, context) => {
      const setting = parseStore(text);
      if (setting !== undefined) return setting;
      context.issues.push({ code: 'custom', input: text, message: STORE_FORMS });
      return z.NEVER;
    }),
  MINIO_ACCESS_KEY: z.string().optional(),
  MINIO_SECRET_KEY: z.string().optional(),
};

/** What the backup service reads from its environment. */
export type BackupConfig = ReturnType<typeof readBackupConfig>;

/**
 * Reads the backup service's configuration.
 *
 * @throws ConfigError with all faults at once
 */
export function readBackupConfig(env: NodeJS.ProcessEnv) {
  const config = readConfig(SETTINGS, env);
  if (config.BACKUP_STORE_URL.kind === 'minio') {
    const faults = (['MINIO_ACCESS_KEY', 'MINIO_SECRET_KEY'] as const)
      .filter((name) => config[name] === undefined)
      .map((name) => `${name}: is required, because BACKUP_STORE_URL names a MinIO`);
    if (faults.length > 0) throw new ConfigError(faults);
  }
  return config;
}

function parseStore(text: string): StoreSetting | undefined {
  if (text.startsWith('file:')) {
    const path = text.slice('file:'.length).replace(/^\/\/\//, '/');
    return path === '' || path.startsWith('//') ? undefined : { kind: 'folder', path };
  }
  const match =
    /^s3\+(https?):\/\/(\[[\da-f:.]+\]|[^\s:/@[\]]+)(?::(\d{1,5}))?\/([a-z\d.-]{3,63})$/i.exec(
      text,
    );
  if (match === null) return undefined;
  const [, scheme, host = '', port, bucket = ''] = match;
  const tls = scheme === 'https';
  return {
    kind: 'minio',
    host: host.replace(/^\[|\]$/g, ''),
    port: Number(port ?? (tls ? 443 : 80)),
    tls,
    bucket,
  };
}
