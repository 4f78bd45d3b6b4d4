import { createHash, randomBytes } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import type { Device, FileInit } from '../../clients/device/index.ts';
import { whole } from '../support/file-server.ts';
import {
  bytesAt,
  folder,
  home,
  open,
  path,
  read,
  receive,
  server,
  settled,
  statesOf,
  told,
  useFiles,
} from './device-files-harness.ts';

const UNWRITABLE = { reason: 'FOLDER_UNWRITABLE' };

useFiles();

function problemsOf(device: Device): unknown[] {
  const problems: unknown[] = [];
  device.on('problem', (error) => problems.push(error));
  return problems;
}

/** Where the content of a SHA-256 in hex stands. */
const placeOf = (key: string) => join(folder(), key.slice(0, 2), key.slice(2));

it('a folder that can not be written is told once, and tried when messages are read again', async () => {
  await using device = await open({ maxTransfers: 1 });
  const all = Array.from({ length: 20 }, () => randomBytes(1_000));
  receive(
    device,
    all.map((bytes) => told(bytes, server.put(path(), whole(bytes)))),
  );
  await writeFile(folder(), 'in its place');
  const problems = problemsOf(device);
  const states = statesOf(device);
  device.start();
  for (const message of read(device)) {
    expect(await settled(device, message)).toMatchObject({ state: 'absent' });
  }
  expect(problems).toEqual([
    expect.objectContaining({
      ...{ ...UNWRITABLE, code: 9, cause: expect.objectContaining({ code: 'ENOTDIR' }) },
      message: expect.stringContaining(folder()),
    }),
  ]);
  expect(
    states.filter((one) => one.state === 'absent' && one.reason === UNWRITABLE.reason),
  ).toHaveLength(20);
  const [first] = read(device);
  await expect(device.fetchFile(first!)).rejects.toMatchObject(UNWRITABLE);
  expect(problems).toHaveLength(1);
  expect(server.asked).toHaveLength(0);
  await rm(folder());
  const messages = read(device);
  for (const [n, message] of messages.entries()) {
    expect(await bytesAt(await settled(device, message))).toEqual(all[n]);
  }
  await rm(folder(), { recursive: true });
  await writeFile(folder(), 'again');
  await expect(device.fetchFile(first!)).rejects.toMatchObject(UNWRITABLE);
  expect(problems).toHaveLength(2);
});

it.each<[string, (file: FileInit, bytes: Buffer) => Promise<unknown>]>([
  [
    'a part',
    ({ url }) => {
      const key = createHash('sha256').update(`0 ${url}`).digest('hex');
      return mkdir(`${placeOf(key)}.part`, { recursive: true });
    },
  ],
  [
    'the origin of a part',
    ({ url }) => {
      const key = createHash('sha256').update(`0 ${url}`).digest('hex');
      return mkdir(`${placeOf(key)}.part.from`, { recursive: true });
    },
  ],
  [
    'a shard',
    async (_, bytes) => {
      await mkdir(folder());
      const key = createHash('sha256').update(bytes).digest('hex');
      await writeFile(dirname(placeOf(key)), 'in its place');
    },
  ],
])('it is told where %s can not be written', async (_, block) => {
  await using device = await open();
  const bytes = randomBytes(1_000);
  const file = { url: server.put(path(), whole(bytes)) };
  await block(file, bytes);
  const problems = problemsOf(device);
  receive(device, [file]);
  await expect(device.fetchFile(read(device)[0]!)).rejects.toMatchObject(UNWRITABLE);
  expect(problems).toEqual([expect.objectContaining(UNWRITABLE)]);
});

it('what is uploaded is not kept in a folder that can not be written', async () => {
  const source = join(home, 'source');
  await writeFile(source, 'bytes');
  await writeFile(folder(), 'in its place');
  const fetch = () => Promise.reject(new Error('nothing is to be fetched'));
  const upload = () => Promise.reject(new Error('nothing is to be uploaded'));
  await using device = await open({ transfer: { fetch, upload } });
  await expect(device.uploadFile(source)).rejects.toMatchObject(UNWRITABLE);
});
