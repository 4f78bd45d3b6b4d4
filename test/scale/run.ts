/**
 * `npm run test:scale`: BackupAge in a store of 10,000 databases with 30 backups each, on a real MinIO
 * and in a folder, beside a store that holds one backup and nothing else. Takes about half an hour;
 * `-- --databases 500` takes less.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { BackupClient } from '../../clients/index.ts';
import { DiskStore } from '../../services/backup/store/disk.ts';
import { MinioStore } from '../../services/backup/store/minio.ts';
import type { BackupStore } from '../../services/backup/store/store.ts';
import { quantile } from '../bench/measure.ts';
import { optionsOf } from '../contract/backup/bucket-options.ts';
import { age, download } from '../contract/backup/transfers.ts';
import { Report } from '../corpus/report.ts';
import { type BucketAddress, freshBucket } from '../support/databases.ts';
import { provideMinio } from '../support/engines.ts';
import { startService } from '../support/processes.ts';
import type { Progress } from '../support/progress.ts';
import { Random } from '../support/random.ts';
import { CountingStore } from './counting-store.ts';
import { file, fill, nameOf, passedOf, rarely } from './fill.ts';

/** Backups of each database. */
const BACKUPS = 30;

/** Calls of each kind that are measured, by turns, and before them those that are not. */
const CALLS = 2_000;
const WARM_UP = 300;

/** How much longer a call may take in the full store. */
const MOST_RATIO = 1.5;

const { values } = parseArgs({ options: { databases: { type: 'string', default: '10000' } } });
const databases = Number(values.databases);
if (!Number.isInteger(databases) || databases < 1) {
  console.error('usage: npm run test:scale -- [--databases WHOLE_NUMBER]');
  process.exit(2);
}

const report = new Report();
{
  await using used = new AsyncDisposableStack();
  const minio = used.use(await provideMinio());
  console.log(`  testing on ${minio.description}`);
  const [full, empty] = [
    used.use(await freshBucket(minio.url)),
    used.use(await freshBucket(minio.url)),
  ];
  await checkEngine('MinIO', inBucket(full), inBucket(empty));
  const folder = used.use(await mkdtempDisposable(join(tmpdir(), 'backscroll-scale-')));
  await checkEngine('folder', inFolder(join(folder.path, 'a')), inFolder(join(folder.path, 'b')));
}
process.exitCode = report.finish() ? 0 : 1;

/** Where a store is: how it is opened here, and what a service is told. */
interface Place {
  readonly open: () => Promise<BackupStore>;
  readonly env: Readonly<Record<string, string>>;
}

function inBucket(bucket: BucketAddress): Place {
  const { url, accessKey, secretKey } = bucket;
  return {
    open: async () => new MinioStore(optionsOf(bucket)),
    env: { BACKUP_STORE_URL: url, MINIO_ACCESS_KEY: accessKey, MINIO_SECRET_KEY: secretKey },
  };
}

function inFolder(path: string): Place {
  return { open: () => DiskStore.open(path), env: { BACKUP_STORE_URL: `file:${path}` } };
}

/** Fills one store, gives the other one backup, and compares. */
async function checkEngine(label: string, full: Place, empty: Place): Promise<void> {
  const stored = `${databases} databases with ${BACKUPS} backups each`;
  await report.check(`${label}: storing ${stored}`, async (progress) => {
    await using store = await full.open();
    await fill(store, databases, BACKUPS, progress);
    await using other = await empty.open();
    await fill(other, 1, 1, progress);
  });
  await report.check(`${label}: BackupAge of each, and backups of some`, async (progress) => {
    await using store = await full.open();
    await checkRequests(store, progress);
    for (const number of [0, databases >> 1, databases - 1]) {
      const found = await download(store, nameOf(number));
      equal(found.backup.number, BigInt(BACKUPS));
      ok(found.file.equals(file));
    }
  });
  await report.check(`${label}: BackupAge beside an empty store`, (progress) =>
    checkTimes(label, full, empty, progress),
  );
}

/** Asks for the age of every database: it is right, and takes one listing and one read. */
async function checkRequests(inner: BackupStore, progress: Progress): Promise<void> {
  const store = new CountingStore(inner);
  for (let number = 0; number < databases; number++) {
    progress.update(`${number} of ${databases}`);
    const found = await age(store, nameOf(number));
    equal(found.newestNumber, BigInt(BACKUPS));
    equal(found.newestVerifiedNumber, BigInt(passedOf(number, BACKUPS)));
    deepEqual(store.taken(), { lists: 1, reads: 1, others: 0 });
  }
}

/** Measures calls to two services by turns, so that what slows the machine slows both. */
async function checkTimes(
  label: string,
  full: Place,
  empty: Place,
  progress: Progress,
): Promise<void> {
  await using inFull = await startService('backup', { ...full.env, ...rarely });
  await using inEmpty = await startService('backup', { ...empty.env, ...rarely });
  using fullClient = new BackupClient(inFull.address);
  using emptyClient = new BackupClient(inEmpty.address);
  const random = new Random(databases);
  const times = { full: [] as number[], empty: [] as number[], nothing: [] as number[] };
  for (let call = -WARM_UP; call < CALLS; call++) {
    progress.update(`call ${call} of ${CALLS}`);
    const some = nameOf(random.between(0, databases - 1));
    const ofFull = await milliseconds(() => fullClient.age(some));
    const ofEmpty = await milliseconds(() => emptyClient.age(nameOf(0)));
    const ofNothing = await milliseconds(() => emptyClient.age(nameOf(1)));
    if (call < 0) continue;
    times.full.push(ofFull);
    times.empty.push(ofEmpty);
    times.nothing.push(ofNothing);
  }
  const [ofFull, ofEmpty] = [quantile(times.full, 0.5), quantile(times.empty, 0.5)];
  const ratio = ofFull / ofEmpty;
  console.log(
    `  ${label}: BackupAge takes ${ofFull.toFixed(2)} ms (median) among ${databases} databases, ` +
      `${ofEmpty.toFixed(2)} ms of a store's only backup: ${ratio.toFixed(2)} times; ` +
      `${quantile(times.nothing, 0.5).toFixed(2)} ms where there is none to be read`,
  );
  ok(ratio <= MOST_RATIO, `more than ${MOST_RATIO} times`);
}

async function milliseconds(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}
