import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { BackupClient } from '../../clients/backup/backup-client.ts';
import { HistoryClient } from '../../clients/history/history-client.ts';
import { checkDamaged, checkRoundTrip, checkSealed } from '../support/backup-check.ts';
import { allAtOnce, checkScrollback, importFile, shortMessages } from '../support/chat-check.ts';
import {
  type ChatLine,
  chatFile,
  chatFiles,
  corpusFolder,
  expectedConversations,
  readChatLines,
  readTarGz,
} from '../support/corpus.ts';
import { freshBackupStore, freshDatabase } from '../support/databases.ts';
import { migrate } from '../support/migrate.ts';
import { startService } from '../support/processes.ts';
import { smallCorpus } from '../support/small-corpus.ts';
import { badDatabases, goodDatabases } from '../support/small-databases.ts';

const corpus = corpusFolder();
let folder = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'backscroll-sample-'));
  console.log(
    `  sample of ${corpus ? 'the corpus' : 'the small corpus of its own: no BACKSCROLL_CORPUS'}`,
  );
});

afterAll(() => rm(folder, { recursive: true, force: true }));

/** The chats to try, by name: the corpus's where it is there, else the project's own. */
const chats: Record<string, () => Promise<ChatLine[]>> = corpus
  ? {
      ...Object.fromEntries(
        chatFiles.map((name) => [name, () => beginning(chatFile(corpus, name))]),
      ),
      oddities: () => Array.fromAsync(readChatLines(join(corpus, 'chat', 'oddities.ndjson'))),
    }
  : { 'the small corpus': async () => smallCorpus() };

describe.each(['MySQL', 'SQLite'])('history on %s', (engine) => {
  test.each(Object.keys(chats))('takes %s twice, and gives it back', async (name) => {
    await using used = new AsyncDisposableStack();
    const url =
      engine === 'MySQL' ? await mysqlDatabase(used) : `sqlite:${join(folder, `${name}.db`)}`;
    const service = used.use(await startService('history', { HISTORY_DATABASE_URL: url }));
    const client = used.use(new HistoryClient(service.address));

    const lines = (await chats[name]?.()) ?? [];
    const path = join(folder, `${engine} ${name}.ndjson`);
    await writeFile(path, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    const conversations = await expectedConversations(lines);
    const added = conversations.reduce((sum, { messages }) => sum + messages.length, 0);
    await importFile(service.address, path, { added, repeated: lines.length - added });
    await importFile(service.address, path, { added: 0, repeated: lines.length });

    for (const conversation of conversations) {
      for (const pageSize of [50, 500, allAtOnce]) {
        await checkScrollback(client, conversation, pageSize);
      }
      if (conversation.messages.length <= shortMessages)
        await checkScrollback(client, conversation, 1);
    }
  });
});

describe.each(['MinIO', 'a folder'] as const)('backup on %s', (store) => {
  const good = corpus ? databasesOf(join(corpus, 'sqlite', 'good.tar.gz')) : goodDatabases();
  const bad = corpus ? databasesOf(join(corpus, 'sqlite', 'bad.tar.gz')) : badDatabases();

  test(`gives back ${good.size} good files, and survives ${bad.size} bad ones`, async () => {
    await using used = new AsyncDisposableStack();
    const settings = await freshBackupStore(store, inject('minioUrl'), used);
    const service = used.use(await startService('backup', settings));
    const client = used.use(new BackupClient(service.address));
    for (const [name, bytes] of good) await checkRoundTrip(client, 'good', name, bytes);
    for (const [name, bytes] of good) await checkSealed(client, 'sealed', name, bytes);
    const outcomes = { refused: 0, failed: 0, passed: 0 };
    for (const [name, bytes] of bad) outcomes[await checkDamaged(client, 'bad', name, bytes)]++;
    expect(outcomes.refused).toBeGreaterThan(0);
    // Those of the corpus are sound for quick_check.
    expect(outcomes.passed).toBeLessThanOrEqual(corpus ? 3 : 0);
    expect(service.process.child.exitCode).toBeNull();
  });
});

async function mysqlDatabase(used: AsyncDisposableStack): Promise<string> {
  const { url } = used.use(await freshDatabase(inject('mysqlUrl')));
  await migrate(url);
  return url;
}

/** The first conversations of a chat file. */
async function beginning(path: string): Promise<ChatLine[]> {
  const lines: ChatLine[] = [];
  for await (const line of readChatLines(path)) {
    if (lines.length >= 1_500 && line.conversation !== lines.at(-1)?.conversation) break;
    lines.push(line);
  }
  return lines;
}

/** Every fourth database of the corpus. */
function databasesOf(archive: string): Map<string, Buffer> {
  const all = [...readTarGz(archive)].filter(([name]) => name.endsWith('.db'));
  return new Map(all.filter((_, index) => index % 4 === 0));
}
