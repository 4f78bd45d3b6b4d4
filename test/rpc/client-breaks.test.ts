import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { BackupClient } from '../../clients/backup/backup-client.ts';
import { HistoryClient } from '../../clients/history/history-client.ts';
import type { ImportBatch } from '../../clients/history/history-requests.ts';
import { startService, type TestService } from '../support/processes.ts';

const used = new AsyncDisposableStack();
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'backscroll-breaks-'));
  used.defer(() => rm(folder, { recursive: true, force: true }));
});

afterAll(() => used.disposeAsync());

/** A service that can be killed and started again at the same address. */
class Mortal {
  readonly #name: 'history' | 'backup';
  readonly #env: Record<string, string>;
  #service: TestService;

  private constructor(name: 'history' | 'backup', env: Record<string, string>, first: TestService) {
    this.#name = name;
    this.#env = env;
    this.#service = first;
  }

  static async start(name: 'history' | 'backup', env: Record<string, string>): Promise<Mortal> {
    return new Mortal(name, env, await startService(name, env));
  }

  get address(): string {
    return this.#service.address;
  }

  async restart(): Promise<void> {
    await this.#service.process.kill('SIGKILL');
    const listen = { [`${this.#name.toUpperCase()}_LISTEN`]: this.address };
    this.#service = await startService(this.#name, { ...this.#env, ...listen });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#service[Symbol.asyncDispose]();
  }
}

it('an import goes on when the service is killed and comes back', async () => {
  const url = `sqlite:${join(folder, 'history.db')}`;
  const service = used.use(await Mortal.start('history', { HISTORY_DATABASE_URL: url }));
  await using client = new HistoryClient(service.address);
  const batches = Array.from({ length: 40 }, (_, batch): ImportBatch => {
    const messages = Array.from({ length: 200 }, (_, index) => ({ id: `${batch}-${index}` }));
    return { runs: [{ group: 'g', messages }] };
  });
  let restarted: Promise<void> | undefined;
  let expected = 0n;
  let stored = 0;
  for await (const answer of client.import(batches)) {
    expected += 1n;
    expect(answer.batch).toBe(expected);
    stored += answer.added + answer.repeated;
    if (answer.batch === 10n) restarted = service.restart();
  }
  await restarted;
  expect(stored).toBe(8000);
  const { messages } = await client.sync({ group: 'g', afterSeq: 0, count: 10_000 }).collect();
  expect(new Set(messages.map(({ id }) => id)).size).toBe(8000);
  expect(messages).toHaveLength(8000);
});

it('a download goes on, and so does an upload', async () => {
  const url = `file:${join(folder, 'backups')}`;
  const service = used.use(await Mortal.start('backup', { BACKUP_STORE_URL: url }));
  await using client = new BackupClient(service.address);
  const source = join(folder, 'source.bin');
  const bytes = randomBytes(24 << 20);
  await writeFile(source, bytes);

  let restarted: Promise<void> | undefined;
  const { backup } = await client.upload(source, {
    user: 'alice',
    opaque: true,
    onProgress: ({ sentBytes }) => {
      if (sentBytes > bytes.length / 2) restarted ??= service.restart();
    },
  });
  await restarted;
  expect(restarted).toBeDefined();
  expect(backup.sizeBytes).toBe(BigInt(bytes.length));

  restarted = undefined;
  const target = join(folder, 'target.bin');
  await client.downloadToFile(target, {
    user: 'alice',
    onProgress: () => {
      restarted ??= service.restart();
    },
  });
  await restarted;
  expect((await readFile(target)).equals(bytes)).toBe(true);
  expect((await readdir(folder)).filter((name) => name.endsWith('.part'))).toEqual([]);
  const kept = await Array.fromAsync(client.list({ user: 'alice' }));
  expect(kept.map(({ number }) => number)).toEqual([backup.number]);
});
