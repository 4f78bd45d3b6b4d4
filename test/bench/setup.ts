import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import type { MinioOptions } from '../../services/backup/store/minio.ts';
import { type FreshBucket, freshBucket, freshDatabase } from '../support/databases.ts';
import { provideMinio, provideMysql } from '../support/engines.ts';
import { migrate } from '../support/migrate.ts';
import { minioClient } from '../support/minio.ts';
import { startService } from '../support/processes.ts';
import type { BareJobs } from './bare.ts';
import { linesSource } from './lines.ts';
import type { OurJobs } from './ours.ts';
import { Worker } from './worker.ts';

/** Both services on real engines, and the processes that measure. Disposing it ends and removes all. */
export interface Bench extends AsyncDisposable {
  /** What it runs on, in a few lines. */
  readonly description: string;
  /** The client's process, and the baseline's. */
  readonly ours: Worker<OurJobs>;
  readonly bare: Worker<BareJobs>;
  /** A folder for files. */
  readonly folder: string;
  /** Whose databases are backed up. */
  readonly user: string;
  /** Where the services answer. */
  readonly addresses: { readonly history: string; readonly backup: string };
  /** The most memory that the backup service ever had resident, in bytes. */
  backupMemoryBytes(): number;
  /** Bytes that the backup service has stored. */
  storedBytes(): Promise<number>;
  /** Where it stores them. */
  readonly store: MinioOptions;
}

const user = 'bench';

/** Starts everything, each in a process of its own. */
export async function startBench(): Promise<Bench> {
  await using started = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), 'backscroll-bench-'));
  started.defer(() => rmSync(folder, { recursive: true }));
  const mysql = started.use(await provideMysql());
  const minio = started.use(await provideMinio());
  const database = started.use(await freshDatabase(mysql.url));
  const bucket = started.use(await freshBucket(minio.url));
  await migrate(database.url);
  const history = started.use(
    await startService('history', { HISTORY_DATABASE_URL: database.url }),
  );
  const backup = started.use(
    await startService('backup', {
      BACKUP_STORE_URL: bucket.url,
      MINIO_ACCESS_KEY: bucket.accessKey,
      MINIO_SECRET_KEY: bucket.secretKey,
    }),
  );
  const ours = started.use(new Worker<OurJobs>(new URL('./ours.ts', import.meta.url)));
  const bare = started.use(new Worker<BareJobs>(new URL('./bare.ts', import.meta.url)));
  await ours.run('connect', history.address, backup.address, user);
  await bare.run('connect', database.url, minio.url);
  const rest = started.move();
  return {
    description: [
      `${cpus()[0]?.model}, ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB`,
      `Node ${process.version}; ${mysql.description}; ${minio.description}`,
      `texts: ${linesSource()}`,
    ].join('\n'),
    ours,
    bare,
    folder,
    user,
    addresses: { history: history.address, backup: backup.address },
    backupMemoryBytes: () => backup.process.peakMemoryBytes(),
    store: storeIn(bucket),
    storedBytes: () => bucketBytes(minio.url, bucket.url.slice(bucket.url.lastIndexOf('/') + 1)),
    [Symbol.asyncDispose]: () => rest.disposeAsync(),
  };
}

function storeIn({ url, accessKey, secretKey }: FreshBucket): MinioOptions {
  const { hostname, port, pathname } = new URL(url.replace(/^s3\+/, ''));
  const bucket = pathname.slice(1);
  return { endPoint: hostname, port: Number(port), tls: false, bucket, accessKey, secretKey };
}

async function bucketBytes(minioUrl: string, bucket: string): Promise<number> {
  let bytes = 0;
  for await (const object of minioClient(minioUrl).listObjectsV2(bucket, '', true)) {
    bytes += object.size;
  }
  return bytes;
}
