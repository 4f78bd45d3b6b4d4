import { randomBytes } from 'node:crypto';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createConnection } from 'mysql2/promise';
import { minioClient } from './minio.ts';

/** A database of a test's own; disposing it drops it. */
export interface FreshDatabase extends AsyncDisposable {
  /** `mysql://root@127.0.0.1:PORT/NAME`, as HISTORY_DATABASE_URL takes it. */
  readonly url: string;
}

/** Makes an empty database in the MySQL at `mysqlUrl`. */
export async function freshDatabase(mysqlUrl: string): Promise<FreshDatabase> {
  const name = `test_${randomBytes(8).toString('hex')}`;
  await execute(mysqlUrl, `CREATE DATABASE ${name}`);
  const url = new URL(mysqlUrl);
  url.pathname = `/${name}`;
  return {
    url: url.href,
    [Symbol.asyncDispose]: () => execute(mysqlUrl, `DROP DATABASE ${name}`),
  };
}

/** Where a bucket is: what BACKUP_STORE_URL and its secrets take. */
export interface BucketAddress {
  /** `s3+http://127.0.0.1:PORT/BUCKET`. */
  readonly url: string;
  readonly accessKey: string;
  readonly secretKey: string;
}

/** A bucket of a test's own; disposing it removes it. */
export interface FreshBucket extends BucketAddress, AsyncDisposable {}

/** Makes an empty bucket in the MinIO at `minioUrl`. */
export async function freshBucket(minioUrl: string): Promise<FreshBucket> {
  const name = `test-${randomBytes(8).toString('hex')}`;
  const client = minioClient(minioUrl);
  await client.makeBucket(name);
  return {
    ...bucketAddress(minioUrl, name),
    async [Symbol.asyncDispose]() {
      const names: string[] = [];
      for await (const object of client.listObjectsV2(name, '', true)) names.push(object.name);
      if (names.length > 0) await client.removeObjects(name, names);
      await client.removeBucket(name);
    },
  };
}

/** Address of a bucket in the MinIO at `minioUrl`. */
export function bucketAddress(minioUrl: string, name: string): BucketAddress {
  const { host, username, password } = new URL(minioUrl.replace(/^s3\+/, ''));
  return {
    url: `${minioUrl.slice(0, minioUrl.indexOf('//'))}//${host}/${name}`,
    accessKey: decodeURIComponent(username),
    secretKey: decodeURIComponent(password),
  };
}

/** The settings of a backup service on an empty store of a test's own: a bucket, or a folder. */
export async function freshBackupStore(
  kind: 'MinIO' | 'a folder',
  minioUrl: string,
  used: AsyncDisposableStack,
): Promise<Record<string, string>> {
  if (kind === 'a folder') {
    const folder = used.use(await mkdtempDisposable(join(tmpdir(), 'backscroll-backups-')));
    return { BACKUP_STORE_URL: `file:${folder.path}` };
  }
  const { url, accessKey, secretKey } = used.use(await freshBucket(minioUrl));
  return { BACKUP_STORE_URL: url, MINIO_ACCESS_KEY: accessKey, MINIO_SECRET_KEY: secretKey };
}

async function execute(mysqlUrl: string, statement: string): Promise<void> {
  const connection = await createConnection(mysqlUrl);
  try {
    await connection.query(statement);
  } finally {
    await connection.end();
  }
}
