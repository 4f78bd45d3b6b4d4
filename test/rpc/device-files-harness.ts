import { randomUUID } from 'node:crypto';
import { mkdtempDisposable, readdir, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { afterAll, beforeAll, beforeEach, expect } from 'vitest';
import {
  Device,
  type FileInit,
  type FileOptions,
  type FileState,
  type LocalMessage,
} from '../../clients/device/index.ts';
import { MessageSchema } from '../../clients/gen/backscroll/history/v1/message_pb.ts';
import { eventually } from '../support/eventually.ts';
import { FileServer, sha256Of } from '../support/file-server.ts';

export const BOB = { peer: 'bob' };
export const MIB = 1024 * 1024;

/** Serves the files of a test file that calls `useFiles`. */
export let server: FileServer;
/** A folder of the test's own. */
export let home: string;

/** Gives a test file a server of files, and each of its tests a home. */
export function useFiles(): void {
  let stack: AsyncDisposableStack;
  beforeAll(async () => {
    stack = new AsyncDisposableStack();
    server = stack.use(await FileServer.start());
  });
  afterAll(() => stack.disposeAsync());
  beforeEach(async () => {
    home = stack.use(await mkdtempDisposable(join(tmpdir(), 'files-'))).path;
    server.asked.length = 0;
    server.mostAtOnce = 0;
  });
}

/** A device of alice's over the test's database. */
export function open(files: FileOptions = {}): Promise<Device> {
  const database = join(home, 'device.db');
  return Device.open({
    ...{ database, user: 'alice', history: '127.0.0.1:1', backup: '127.0.0.1:1', files },
  });
}

/** Where its files are kept. */
export const folder = () => join(home, 'device.db.files');

/** Of the messages that were put in last: the same ones then come as edited ones. */
let revision = 0n;

/** Puts messages of bob's in, each with one file, from a seq on. */
export function receive(
  device: Device,
  files: readonly FileInit[],
  fromSeq = 1,
  sentAtMs = Date.now(),
): void {
  revision += 1n;
  device.receive(
    BOB,
    files.map((file, n) =>
      create(MessageSchema, {
        ...{ id: `${fromSeq + n}`, sender: 'bob', seq: BigInt(fromSeq + n), revision },
        ...{ sentAtMs: BigInt(sentAtMs), content: { files: [file] } },
      }),
    ),
  );
}

/** Messages of bob's, the oldest first. */
export function read(device: Device, count = 100): LocalMessage[] {
  const messages: LocalMessage[] = [];
  const session = device.readSession({ ...BOB, order: 'oldest-first' }, (message) =>
    messages.push(message),
  );
  session.read(count);
  return messages;
}

/** A file as a message tells all of it. */
export function told(bytes: Buffer, url: string): FileInit {
  return { url, name: 'x', sizeBytes: BigInt(bytes.length), sha256: sha256Of(bytes) };
}

/** A path of its own at the server. */
export const path = () => `/${randomUUID()}`;

/** Every state that files were told to be in. */
export function statesOf(device: Device): FileState[] {
  const states: FileState[] = [];
  device.on('file', (state) => states.push(state));
  return states;
}

/** Resolves to where a message's file is once nobody is about to fetch it any more. */
export async function settled(device: Device, message: LocalMessage): Promise<FileState> {
  return eventually(() => {
    const state = device.file(message);
    expect(['queued', 'fetching']).not.toContain(state.state);
    return state;
  });
}

/** What stands in the folder and has bytes, locks aside. */
export async function kept(): Promise<string[]> {
  const all = await readdir(folder(), { recursive: true, withFileTypes: true });
  return all.filter((entry) => entry.isFile() && !/^lock/.test(entry.name)).map(({ name }) => name);
}

export async function bytesAt({ path }: FileState): Promise<Buffer> {
  return readFile(path!);
}
