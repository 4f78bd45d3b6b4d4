import { copyFileSync, statSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { constants, zstdCompressSync } from 'node:zlib';
import {
  appendToChatDatabase,
  buildChatDatabase,
  changeNewestStatuses,
  changeStatuses,
} from '../support/chat-database.ts';
import type { ChatLine } from '../support/corpus.ts';
import { Random } from '../support/random.ts';
import { benchLines } from './lines.ts';
import { byTurns } from './measure.ts';
import type { OurJobs } from './ours.ts';
import { cost, type Result, rate } from './result.ts';
import type { Bench } from './setup.ts';
import { Worker } from './worker.ts';

const mebibyte = 1024 * 1024;

/** SQLite's own default, and the unit of change. */
const pageBytes = 4_096;

/** Most memory that either end may ever have had resident, in MiB. */
const mostMib = 256;

/** A chat app's database as a file, the lines that it has not received yet, and the app's process. */
export interface Device extends AsyncDisposable {
  readonly path: string;
  readonly lines: AsyncIterator<ChatLine>;
  readonly app: Worker<OurJobs>;
  messages: number;
}

/** Builds the database that the measurements upload, of so many MiB. */
export async function fillDevice({ folder, addresses, user }: Bench, mib: number): Promise<Device> {
  const path = join(folder, 'chat.db');
  const lines = benchLines();
  const { messages } = await buildChatDatabase(path, lines, mib * mebibyte);
  const app = new Worker<OurJobs>(new URL('./ours.ts', import.meta.url));
  await app.run('connect', addresses.history, addresses.backup, user);
  return { path, lines, app, messages, [Symbol.asyncDispose]: () => app[Symbol.asyncDispose]() };
}

/**
 * First uploads, uploads of what did not change, and restores, each into a file: beside minio-js putting
 * and getting the same file, and hashing it by pages.
 */
export async function measureTransfer(
  { bare, folder }: Bench,
  { app, path }: Device,
): Promise<Result[]> {
  const restored = join(folder, 'restored.db');
  const turns = await byTurns(
    async (round) => {
      const database = `transfer ${round}`;
      const upload = (await app.run('upload', path, database)).seconds;
      await app.run('untilVerified', database);
      const unchanged = (await app.run('upload', path, database)).seconds;
      return { upload, unchanged, restore: await app.run('restore', database, restored) };
    },
    async (round) => {
      const key = `transfer-${round}`;
      const upload = await bare.run('putFile', path, key);
      const unchanged = await bare.run('hashPages', path, pageBytes);
      const restore = await bare.run('getFile', key, restored);
      await bare.run('removeFile', key);
      return { upload, unchanged, restore };
    },
    3,
  );
  const { ours, bare: beside } = turns;
  const megabytes = statSync(path).size / 1e6;
  const perSecond = (name: string, of: 'upload' | 'restore', reach: number) =>
    rate(name, 'MB/s', megabytes / ours[of], megabytes / beside[of], reach);
  return [
    perSecond('first upload', 'upload', 1),
    perSecond('restore into a file', 'restore', 0.6),
    cost('upload of what did not change', 's', ours.unchanged, beside.unchanged, 1.3),
  ];
}

/** A day's change of a chat database: 0.5 % more messages, and a new status of the newest 2 %. */
export async function passDay(device: Device): Promise<void> {
  await append(device, 0.005);
  changeNewestStatuses(device.path, Math.round(device.messages * 0.02));
}

/**
 * What uploads after changes send, and add to the store, beside the changed pages, compressed in pieces
 * of 8 MiB.
 */
export async function measureChanges(bench: Bench, device: Device): Promise<Result[]> {
  const random = new Random(2);
  const changes: [string, () => Promise<void> | void][] = [
    ['1 % of messages appended', () => append(device, 0.01)],
    [
      '0.1 % of statuses changed',
      () => changeStatuses(device.path, random, Math.round(device.messages / 1000)),
    ],
    ['a day', () => passDay(device)],
  ];
  await device.app.run('upload', device.path, 'changes');
  await device.app.run('untilVerified', 'changes');
  const results: Result[] = [];
  for (const [name, change] of changes)
    results.push(...(await measureChange(bench, device, name, change)));
  return results;
}

async function measureChange(
  { folder, bare: driver, storedBytes }: Bench,
  { app, path }: Device,
  name: string,
  change: () => Promise<void> | void,
): Promise<Result[]> {
  const before = join(folder, 'before.db');
  const { ours, bare } = await byTurns(
    async () => {
      copyFileSync(path, before);
      await change();
      const had = await storedBytes();
      const { seconds, sentBytes } = await app.run('upload', path, 'changes');
      return { seconds, sent: sentBytes, stored: (await storedBytes()) - had };
    },
    async () => {
      const changed = await changedBytes(before, path);
      const seconds = await driver.run('hashPages', path, pageBytes);
      return { seconds, sent: changed, stored: changed };
    },
    3,
  );
  const mib = (bytes: number) => bytes / mebibyte;
  return [
    cost(`stored after ${name}`, 'MiB', mib(ours.stored), mib(bare.stored), 1.3),
    cost(`sent after ${name}, beside stored`, 'MiB', mib(ours.sent), mib(ours.stored), 1.25),
    cost(`upload after ${name}, beside hashing`, 's', ours.seconds, bare.seconds),
  ];
}

/** The most memory that client and service ever had resident. */
export async function measureMemory(bench: Bench, { app }: Device): Promise<Result[]> {
  const client = (await app.run('peakMemoryBytes')) / mebibyte;
  const service = bench.backupMemoryBytes() / mebibyte;
  return [
    cost('most memory of the client', 'MiB', client, mostMib, 1),
    cost('most memory of the backup service', 'MiB', service, mostMib, 1),
  ];
}

async function append(device: Device, share: number): Promise<void> {
  const count = Math.round(device.messages * share);
  await appendToChatDatabase(device.path, device.lines, count);
  device.messages += count;
}

/** Size of the pages that differ or are new, compressed in pieces of 8 MiB with zstd 3. */
async function changedBytes(before: string, after: string): Promise<number> {
  await using old = await open(before);
  await using now = await open(after);
  let bytes = 0;
  let changed: Buffer[] = [];
  const compress = () => {
    const params = { [constants.ZSTD_c_compressionLevel]: 3 };
    if (changed.length > 0) bytes += zstdCompressSync(Buffer.concat(changed), { params }).length;
    changed = [];
  };
  for (let at = 0; ; at += mebibyte) {
    const [was, is] = [await piece(old, at), await piece(now, at)];
    if (is.length === 0) break;
    for (let page = 0; page < is.length; page += pageBytes) {
      const bytes = is.subarray(page, page + pageBytes);
      if (!bytes.equals(was.subarray(page, page + pageBytes))) changed.push(bytes);
      if (changed.length === (8 * mebibyte) / pageBytes) compress();
    }
  }
  compress();
  return bytes;
}

async function piece(file: FileHandle, at: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(mebibyte), 0, mebibyte, at);
  return buffer.subarray(0, bytesRead);
}
