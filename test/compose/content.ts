import { deepEqual, equal, ok } from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BackupClient } from '../../clients/backup/backup-client.ts';
import { HistoryClient } from '../../clients/history/history-client.ts';
import { appendToChatDatabase, buildChatDatabase, endlessly } from '../support/chat-database.ts';
import { awkwardTexts, smallCorpus } from '../support/small-corpus.ts';

const pair = { user: 'alice', peer: 'bob' };
const database = { user: 'alice', database: 'chats.db' };

/** What the services were given and answered for, to be found there whatever happens to them. */
export class Content implements AsyncDisposable {
  readonly #historyAddress: string;
  readonly #backupAddress: string;
  readonly #folder: string;
  readonly #lines = endlessly(async function* () {
    yield* smallCorpus();
  });
  /** The conversation's texts in order. */
  readonly #texts: string[] = [];
  /** The uploaded files by the numbers of their backups, oldest first. */
  readonly #files = new Map<bigint, Buffer>();

  private constructor(historyAddress: string, backupAddress: string, folder: string) {
    this.#historyAddress = historyAddress;
    this.#backupAddress = backupAddress;
    this.#folder = folder;
  }

  /** Nothing yet; the database to upload is kept in a temporary folder. */
  static async empty(historyAddress: string, backupAddress: string): Promise<Content> {
    const folder = await mkdtemp(join(tmpdir(), 'backscroll-compose-'));
    return new Content(historyAddress, backupAddress, folder);
  }

  /** Appends every awkward text to a conversation, and again: the second time adds nothing. */
  async append(): Promise<void> {
    using client = new HistoryClient(this.#historyAddress);
    const messages = awkwardTexts.map((text) => ({ id: randomUUID(), content: { text } }));
    const seqs = messages.map((_, i) => BigInt(this.#texts.length + i + 1));
    for (const repeated of [false, true]) {
      const answer = await client.append({ ...pair, messages });
      deepEqual(
        answer.messages.map((message) => message.seq),
        seqs,
      );
      ok(answer.messages.every((message) => message.repeated === repeated));
    }
    this.#texts.push(...awkwardTexts);
  }

  /** Uploads a database of some 4 MiB, each time as it is after a few more messages. */
  async upload(): Promise<void> {
    using client = new BackupClient(this.#backupAddress);
    const path = join(this.#folder, database.database);
    if (this.#files.size === 0) await buildChatDatabase(path, this.#lines, 4 * 2 ** 20);
    else await appendToChatDatabase(path, this.#lines, 100);
    const { backup, unchanged } = await client.upload(path, database);
    equal(unchanged, false);
    this.#files.set(backup.number, await readFile(path));
  }

  /** Fails unless everything is there, byte for byte, and nothing else. */
  async check(): Promise<void> {
    await this.checkHistory();
    await this.checkBackup();
  }

  async checkHistory(): Promise<void> {
    using client = new HistoryClient(this.#historyAddress);
    const page = client.sync({ ...pair, count: 1_000_000, order: 'oldest-first' });
    const { messages, result } = await page.collect();
    deepEqual(
      messages.map((message) => message.content?.text),
      this.#texts,
    );
    ok(result.reachedOldest && result.reachedNewest);
    equal(result.lastSeq, BigInt(this.#texts.length));
  }

  async checkBackup(): Promise<void> {
    using client = new BackupClient(this.#backupAddress);
    const backups = await Array.fromAsync(client.list(database));
    deepEqual(
      backups.map((backup) => backup.number),
      [...this.#files.keys()].reverse(),
    );
    for (const [number, file] of this.#files) {
      const chunks = await Array.fromAsync(await client.download({ ...database, number }));
      ok(file.equals(Buffer.concat(chunks)), `backup ${number} byte for byte`);
    }
    const age = await client.age(database);
    equal(age.newestNumber, backups[0]?.number);
    ok(age.ageSeconds >= 0);
    equal((await client.age({ user: 'nobody' })).ageSeconds, -1);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#folder, { recursive: true });
  }
}
