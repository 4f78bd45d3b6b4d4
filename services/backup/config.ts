import { z } from 'zod';
import { listenSetting, readConfig } from '../common/config.ts';

/** Where the backups are kept. */
export type StoreSetting =
  | { readonly kind: 'folder'; readonly path: string }
  | {
      readonly kind: 'minio';
      readonly endPoint: string;
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
};

/** What the backup service reads from its environment. */
export type BackupConfig = ReturnType<typeof readBackupConfig>;

/**
 * Reads the backup service's configuration.
 *
 * @throws ConfigError with all faults at once
 */
export function readBackupConfig(env: NodeJS.ProcessEnv) {
  const toMinio = env.BACKUP_STORE_URL?.startsWith('s3+') ?? false;
  const error = 'is required, because BACKUP_STORE_URL names a MinIO';
  const secret = toMinio ? z.string({ error }) : z.string().default('');
  return readConfig({ ...SETTINGS, MINIO_ACCESS_KEY: secret, MINIO_SECRET_KEY: secret }, env);
}

function parseStore(text: string): StoreSetting | undefined {
  if (text.startsWith('file:')) {
    const path = text.slice('file:'.length).replace(/^\/\/\//, '/');
    return path === '' || path.startsWith('//') ? undefined : { kind: 'folder', path };
  }
  const form = /^s3\+(https?):\/\/(\[[\da-f:.]+\]|[^\s:/@[\]]+)(?::(\d{1,5}))?\/([a-z\d.-]{3,63})$/;
  const [, scheme, host = '', given, bucket = ''] = form.exec(text) ?? [];
  const tls = scheme === 'https';
  const port = Number(given ?? (tls ? 443 : 80));
  if (scheme === undefined || port > 65_535) return undefined;
  return { kind: 'minio', endPoint: host.replace(/^\[|\]$/g, ''), port, tls, bucket };
}
