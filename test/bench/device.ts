import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { DeviceJobs } from './device-jobs.ts';
import { byTurns, quantile } from './measure.ts';
import { cost, type Result, rate } from './result.ts';
import type { Bench } from './setup.ts';
import { Worker } from './worker.ts';

const mebibyte = 1024 * 1024;

/** Groups of which a new device reads the first page, and what such a page holds. */
const groups = 200;
const pageMessages = 100;

const receivedMessages = 100_000;

/** Rounds of what the disk is in the way of now and then. */
const manyRounds = 7;

/** The device SDK beside what it stands on: first pages, reading, receiving, and backups of `mib` MiB. */
export async function* measureDevice(bench: Bench, mib: number): AsyncGenerator<Result> {
  const { addresses, user } = bench;
  const folder = join(bench.folder, 'devices');
  await mkdir(folder);
  const path = (name: string) => join(folder, `${name}.db`);
  await using app = new Worker<DeviceJobs>(new URL('./device-jobs.ts', import.meta.url));
  await app.run('connect', addresses.history, addresses.backup, user);
  yield* await firstPages(bench, app, path('new'));
  yield* await receiving(app, path('received'), path('inserted'));
  yield* await reading(app, path('received'));
  const messages = await app.run('fill', path('filled'), mib * mebibyte);
  yield* await writing(app, join(folder, 'backup.db'));
  yield* await backingUp(bench, app, messages);
  await app.run('closeDevice');
  await rm(folder, { recursive: true });
}

async function firstPages(
  { ours, user }: Bench,
  app: Worker<DeviceJobs>,
  path: string,
): Promise<Result[]> {
  const names = Array.from({ length: groups }, (_, n) => `first pages ${n}`);
  await ours.run('fillGroups', names, user, pageMessages * 2);
  const turns = await byTurns(
    async () => ({ ms: quantile(await app.run('firstPages', path, names, pageMessages), 0.5) }),
    async () => ({ ms: quantile(await app.run('barePages', names, pageMessages), 0.5) }),
  );
  return [cost('first page of 100 on a new device, p50', 'ms', turns.ours.ms, turns.bare.ms, 1.5)];
}

async function receiving(
  app: Worker<DeviceJobs>,
  path: string,
  barePath: string,
): Promise<Result[]> {
  const turns = await byTurns(
    async () => ({ rate: receivedMessages / (await app.run('receive', path, receivedMessages)) }),
    async () => ({
      rate: receivedMessages / (await app.run('insert', barePath, receivedMessages)),
    }),
  );
  return [rate('receive', 'messages/s', turns.ours.rate, turns.bare.rate, 0.5)];
}

async function reading(app: Worker<DeviceJobs>, path: string): Promise<Result[]> {
  const turns = await byTurns(
    async () => ({ ms: quantile(await app.run('readAll', path), 0.5) }),
    async () => ({ ms: quantile(await app.run('selectAll', path), 0.5) }),
  );
  return [cost('read(100), p50', 'ms', turns.ours.ms, turns.bare.ms, 2)];
}

async function writing(app: Worker<DeviceJobs>, path: string): Promise<Result[]> {
  let lasted = 5;
  const turns = await byTurns(
    async () => {
      const { p99, seconds } = await app.run('writeBeside', path, 0);
      lasted = seconds;
      return { p99 };
    },
    async () => ({ p99: (await app.run('writeBeside', null, lasted)).p99 }),
    manyRounds,
  );
  return [cost('a write during backupDatabase, p99', 'ms', turns.ours.p99, turns.bare.p99, 3)];
}

async function backingUp(
  bench: Bench,
  app: Worker<DeviceJobs>,
  messages: number,
): Promise<Result[]> {
  const empty = await bench.storedBytes();
  await app.run('upload');
  const first = await bench.storedBytes();
  await app.run('receiveMore', Math.round(messages / 100));
  await app.run('upload');
  const added = (await bench.storedBytes()) - first;
  const name = 'stored after 1 % of messages were received, beside the first backup';
  return [cost(name, 'MiB', added / mebibyte, (first - empty) / mebibyte, 0.04)];
}
