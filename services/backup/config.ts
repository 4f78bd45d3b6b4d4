import { isIP } from 'node:net';
import { z } from 'zod';
import { listenSetting, readConfig, readValue, wholeNumber } from '../common/config.ts';
import { LEAST_TRANSFER_SECONDS, TRANSFER_MS } from './limits.ts';

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

const BUCKET_FORM =
  'must name a bucket of 3 to 63 lower case letters, digits, dots and hyphens, with a letter or ' +
  'digit at both ends and beside each dot';

const SETTINGS = {
  BACKUP_LISTEN: listenSetting('127.0.0.1:50052'),
  BACKUP_METRICS_LISTEN: listenSetting('127.0.0.1:9465'),
  BACKUP_STORE_URL: z
    .string()
    .default('file:./data/backups')
    .transform((text, context) => {
      const setting = parseStore(text);
      if (typeof setting !== 'string') return setting;
      context.issues.push({ code: 'custom', input: text, message: setting });
      return z.NEVER;
    }),
  BACKUP_KEEP_LAST: wholeNumber(10, 0, 1_000_000),
  BACKUP_KEEP_DAILY: wholeNumber(7, 0, 36_500),
  BACKUP_KEEP_WEEKLY: wholeNumber(4, 0, 5_200),
  BACKUP_KEEP_MONTHLY: wholeNumber(12, 0, 1_200),
  BACKUP_KEEP_FLOOR_HOURS: wholeNumber(24, 0, 876_000),
  BACKUP_SWEEP_SECONDS: wholeNumber(21_600, 1, 86_400),
  BACKUP_TRANSFER_SECONDS: wholeNumber(TRANSFER_MS / 1_000, LEAST_TRANSFER_SECONDS, 604_800),
  BACKUP_VERIFY_DAYS: wholeNumber(30, 1, 3_650),
  BACKUP_VERIFY_FOLDER: z.string().default(''),
  BACKUP_QUOTA_BYTES: wholeNumber(0, 0, Number.MAX_SAFE_INTEGER),
};

/** What the backup service reads from its environment. */
export type BackupConfig = ReturnType<typeof readBackupConfig>;

/**
 * Reads the backup service's configuration.
 *
 * @throws ConfigError with all faults at once
 */
export function readBackupConfig(env: NodeJS.ProcessEnv) {
  const store = readValue('BACKUP_STORE_URL', env);
  const toMinio = 'value' in store && store.value?.startsWith('s3+');
  const error = 'is required, because BACKUP_STORE_URL names a MinIO';
  const secret = toMinio ? z.string({ error }) : z.string().default('');
  return readConfig({ ...SETTINGS, MINIO_ACCESS_KEY: secret, MINIO_SECRET_KEY: secret }, env);
}

/** What the text names, or what is wrong with it. */
function parseStore(text: string): StoreSetting | string {
  if (text.startsWith('file:')) {
    const path = text.slice('file:'.length).replace(/^\/\/\//, '/');
    return path === '' || path.startsWith('//') ? STORE_FORMS : { kind: 'folder', path };
  }
  const form = /^s3\+(https?):\/\/(\[[\da-f:.]+\]|[^\s:/@[\]]+)(?::(\d{1,5}))?\/([^/]+)$/;
  const [, scheme, host = '', given, bucket = ''] = form.exec(text) ?? [];
  const tls = scheme === 'https';
  const port = Number(given ?? (tls ? 443 : 80));
  if (scheme === undefined || port > 65_535) return STORE_FORMS;
  if (!isBucketName(bucket)) return BUCKET_FORM;
  return { kind: 'minio', endPoint: host.replace(/^\[|\]$/g, ''), port, tls, bucket };
}

function isBucketName(text: string): boolean {
  const label = '[a-z\\d](?:[a-z\\d-]*[a-z\\d])?';
  return new RegExp(`^(?=.{3,63}$)${label}(?:\\.${label})*$`).test(text) && isIP(text) === 0;
}
