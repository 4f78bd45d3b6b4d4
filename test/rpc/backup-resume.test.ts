import { globSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { BackupClient } from '../../clients/index.ts';
import { BreakingProxy } from '../contract/backup/breaking-proxy.ts';
import { ended, jsonOf, startBackscroll } from '../support/backscroll.ts';
import { eventually } from '../support/eventually.ts';
import { startService, type TestService } from '../support/processes.ts';
import { Random } from '../support/random.ts';

const mebibyte = 2 ** 20;
const user = 'alice';

/** Bytes that do not compress, so that what is sent and stored can be told from the file's size. */
const noise = Buffer.concat(
  Array.from({ length: 96 }, (_, seed) => Buffer.from(new Random(seed).bytes(mebibyte))),
);

let used: AsyncDisposableStack;
let folder: string;
let path: string;
let store: string;
let service: TestService;

beforeEach(async () => {
  used = new AsyncDisposableStack();
  folder = await mkdtemp(join(tmpdir(), 'backscroll-resume-'));
  used.defer(() => rm(folder, { recursive: true, force: true }));
  path = join(folder, 'noise.bin');
  await writeFile(path, noise);
  store = join(folder, 'store');
  service = await startService('backup', { BACKUP_STORE_URL: `file:${store}` });
  used.defer(() => service[Symbol.asyncDispose]());
});

afterEach(() => used.disposeAsync());

async function restart(): Promise<void> {
  await service.process.kill('SIGKILL');
  const env = { BACKUP_STORE_URL: `file:${store}`, BACKUP_LISTEN: service.address };
  service = await startService('backup', env);
}

async function isThere(client: BackupClient, bytes: Buffer): Promise<void> {
  const copy = join(folder, 'copy.bin');
  await client.downloadToFile(copy, { user, overwrite: true });
  expect((await readFile(copy)).equals(bytes)).toBe(true);
}

const packs = () => globSync(join(store, '**', 'packs', '*')).length;

/** Heads of backups, without what is noted of them: before the first stands the head of none, numbered 0. */
const heads = () =>
  globSync(join(store, '**', 'heads', '*')).filter(
    (path) => /\d{16}$/.test(path) && !path.endsWith(String(Number.MAX_SAFE_INTEGER)),
  ).length;

it('an upload goes on when the service is killed, and does not send again what was durable', async () => {
  await using client = new BackupClient(service.address);
  let killed: Promise<void> | undefined;
  let skippedBytes = 0;
  const { backup, repeated, sentBytes } = await client.upload(path, {
    user,
    opaque: true,
    onProgress: (progress) => {
      skippedBytes = progress.skippedBytes;
      if (progress.sentBytes > 64 * mebibyte) killed ??= restart();
    },
  });
  await killed;
  expect(killed).toBeDefined();
  expect({ number: backup.number, repeated }).toEqual({ number: 1n, repeated: false });
  expect(skippedBytes).toBeGreaterThan(16 * mebibyte);
  expect(sentBytes).toBeLessThan(2 * noise.length - 16 * mebibyte);
  await isThere(client, noise);
});

it('an upload gets there over a link that drops again and again', async () => {
  const [host = '', port] = service.address.split(':');
  const proxy = used.use(await BreakingProxy.start(host, Number(port)));
  proxy.resetAfterBytes = 2 * mebibyte;
  await using client = new BackupClient(`127.0.0.1:${proxy.port}`);
  const some = noise.subarray(0, 40 * mebibyte);
  await writeFile(path, some);
  const { backup, sentBytes } = await client.upload(path, { user, opaque: true });
  expect(backup.number).toBe(1n);
  // More breaks than an upload would survive that came no further.
  expect(proxy.troubled).toBeGreaterThan(15);
  expect(sentBytes).toBeLessThan(proxy.troubled * 8 * mebibyte);
  proxy.resetAfterBytes = Number.POSITIVE_INFINITY;
  await isThere(client, some);
});

it('another process goes on with the upload of one that was killed', async () => {
  const env = { BACKSCROLL_BACKUP: service.address };
  const upload = ['backup', 'upload', path, '--opaque', '--user', user, '--id', 'one', '--json'];
  const first = used.use(startBackscroll(env, upload));
  await eventually(() => expect(packs()).toBeGreaterThanOrEqual(4), 5);
  await first.kill('SIGKILL');
  const left = packs();
  const { stdout, code } = await ended(startBackscroll(env, upload));
  expect(code).toBe(0);
  const [result] = jsonOf(stdout);
  expect(result).toMatchObject({ unchanged: false, repeated: false, backup: { number: '1' } });
  expect(Number(result?.sentBytes)).toBeLessThan(noise.length - (left - 2) * 7 * mebibyte);
  await using client = new BackupClient(service.address);
  await isThere(client, noise);
});

it('an upload whose last answer is lost is answered with its backup', async () => {
  const [host = '', port] = service.address.split(':');
  const proxy = used.use(await BreakingProxy.start(host, Number(port)));
  await using client = new BackupClient(`127.0.0.1:${proxy.port}`);
  // So small that all of it is on its way before anything has to come back.
  const some = noise.subarray(0, 32_768);
  await writeFile(path, some);
  let broken: Promise<void> | undefined;
  const breakAfterCommit = async () => {
    proxy.trouble = 'answers kept';
    await eventually(() => expect(heads()).toBe(1));
    proxy.trouble = 'none';
    proxy.breakOff();
  };
  const uploading = client.upload(path, {
    user,
    opaque: true,
    onProgress: ({ sentBytes }) => {
      if (sentBytes === some.length) broken ??= breakAfterCommit();
    },
  });
  const { backup, repeated } = await uploading;
  expect({ number: backup.number, repeated }).toEqual({ number: 1n, repeated: true });
  expect(broken).toBeDefined();
  expect(heads()).toBe(1);
  await isThere(client, some);
});
