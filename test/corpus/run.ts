/**
 * `npm run test:corpus`: all of the real input, through the real services, on every engine. Needs
 * BACKSCROLL_CORPUS, a folder for a database of 1 GiB, and several minutes.
 */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildChatDatabase, endlessly } from '../support/chat-database.ts';
import {
  type ChatLine,
  chatFile,
  chatFiles,
  corpusFolder,
  readChatLines,
} from '../support/corpus.ts';
import { freshBucket, freshDatabase } from '../support/databases.ts';
import { provideMinio, provideMysql } from '../support/engines.ts';
import { migrate } from '../support/migrate.ts';
import { startService } from '../support/processes.ts';
import { Progress } from '../support/progress.ts';
import { checkChats } from './chats.ts';
import { checkCopies } from './copies.ts';
import { checkDatabases } from './databases.ts';
import { Report } from './report.ts';

/** Size of the large database, in bytes. */
const largeBytes = 2 ** 30;

const corpus = corpusFolder();
if (!corpus || !existsSync(chatFile(corpus, 'gitter'))) {
  console.error(
    'test:corpus needs the corpus of real chats and databases: set BACKSCROLL_CORPUS to its folder, ' +
      'which holds chat/ and sqlite/.',
  );
  process.exit(1);
}

const report = new Report();
{
  await using used = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'backscroll-corpus-'));
  used.defer(() => rm(folder, { recursive: true, force: true }));
  const mysql = used.use(await provideMysql());
  const minio = used.use(await provideMinio());
  for (const engine of [mysql, minio]) console.log(`  testing on ${engine.description}`);

  const database = used.use(await freshDatabase(mysql.url));
  await migrate(database.url);
  for (const { label, url, replicas, operations } of [
    { label: 'MySQL', url: database.url, replicas: 2, operations: 100_000 },
    {
      label: 'SQLite',
      url: `sqlite:${join(folder, 'history.db')}`,
      replicas: 1,
      operations: 20_000,
    },
  ]) {
    {
      await using service = await startService('history', { HISTORY_DATABASE_URL: url });
      await checkChats(report, label, service.address, corpus);
    }
    await checkCopies(report, label, url, replicas, operations, corpus);
  }

  const large = join(folder, 'large.db');
  {
    using _progress = new Progress('making a chat database of 1 GiB');
    await buildChatDatabase(
      large,
      endlessly(() => allChats(corpus)),
      largeBytes,
    );
  }
  const bucket = used.use(await freshBucket(minio.url));
  const keys = { MINIO_ACCESS_KEY: bucket.accessKey, MINIO_SECRET_KEY: bucket.secretKey };
  for (const [label, env] of [
    ['MinIO', { BACKUP_STORE_URL: bucket.url, ...keys }],
    ['folder', { BACKUP_STORE_URL: `file:${join(folder, 'backups')}` }],
  ] as const) {
    await checkDatabases(report, label, () => startService('backup', env), corpus, large);
  }
}
process.exitCode = report.finish() ? 0 : 1;

async function* allChats(corpus: string): AsyncGenerator<ChatLine> {
  for (const name of chatFiles) yield* readChatLines(chatFile(corpus, name));
}
