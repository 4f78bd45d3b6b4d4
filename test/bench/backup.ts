import { copyFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { constants, zstdCompressSync } from 'node:zlib';
import {
  appendToChatDatabase,
  buildChatDatabase,
  type ChatDatabase,
  editChatDatabase,
} from '../support/chat-database.ts';
import type { ChatLine } from '../support/corpus.ts';
import { Random } from '../support/random.ts';
import { benchLines } from './lines.ts';
import { byTurns } from './measure.ts';
import { cost, type Result, rate } from './result.ts';
import type { Bench } from './setup.ts';

const mebibyte = 1024 * 1024;

/** SQLite's own default, and the unit of change. */
const pageBytes = 4_096;

/** A chat app's database as a file, and the lines that it has not received yet. */
export interface Device extends ChatDatabase {
  readonly path: string;
  readonly lines: AsyncIterator<ChatLine>;
}

/** Builds the database that the measurements upload: 256 MiB. */
export async function fillDevice({ folder }: Bench): Promise<Device> {
  const path = join(folder, 'chat.db');
  const lines = benchLines();
  return { path, lines, ...(await buildChatDatabase(path, lines, 256 * mebibyte)) };
}

/** First uploads and downloads, beside one object written and read by the driver. */
export async function measureTransfer(
  { ours, bare }: Bench,
  { path, sizeBytes }: Device,
): Promise<Result[]> {
  const megabytes = sizeBytes / 1e6;
  const turns = await byTurns(
    async (round) => ({
      upload: megabytes / (await ours.run('upload', path, `transfer ${round}`)),
      download: megabytes / (await ours.run('download', `transfer ${round}`, sizeBytes)),
    }),
    async (round) => {
      const key = `transfer-${round}`;
      const upload = megabytes / (await bare.run('putFile', path, key));
      const download = megabytes / (await bare.run('getFile', key, sizeBytes));
      await bare.run('removeFile', key);
      return { upload, download };
    },
  );
  return [
    rate('first upload', 'MB/s', turns.ours.upload, turns.bare.upload, 0.8),
    rate('download', 'MB/s', turns.ours.download, turns.bare.download, 0.4),
  ];
}

/** What uploads after changes add to the store, beside the changed pages, compressed. */
export async function measureStored(bench: Bench, device: Device): Promise<Result[]> {
  const random = new Random(2);
  const appended = Math.round(device.messages / 100);
  const edited = Math.round(device.messages / 1000);
  await bench.ours.run('upload', device.path, 'changes');
  const appends = await storedAfter(bench, device, () =>
    appendToChatDatabase(device.path, device.lines, appended),
  );
  const edits = await storedAfter(bench, device, () =>
    editChatDatabase(device.path, random, edited),
  );
  return [
    cost('stored after 1 % of messages appended', 'MiB', appends.ours.mib, appends.bare.mib, 1.5),
    cost('stored after 0.1 % of rows changed', 'MiB', edits.ours.mib, edits.bare.mib, 1.5),
  ];
}

function storedAfter(
  { ours, folder, storedBytes }: Bench,
  { path }: Device,
  change: () => unknown,
) {
  const before = join(folder, 'before.db');
  return byTurns(
    async () => {
      copyFileSync(path, before);
      await change();
      const had = await storedBytes();
      await ours.run('upload', path, 'changes');
      return { mib: ((await storedBytes()) - had) / mebibyte };
    },
    async () => ({ mib: changedBytes(readFileSync(before), readFileSync(path)) / mebibyte }),
  );
}

/** Size of the pages that differ or are new, compressed in pieces of 8 MiB with zstd 3. */
function changedBytes(before: Buffer, after: Buffer): number {
  const changed: Buffer[] = [];
  for (let at = 0; at < after.length; at += pageBytes) {
    const page = after.subarray(at, at + pageBytes);
    if (!page.equals(before.subarray(at, at + pageBytes))) changed.push(page);
  }
  const pieces = Buffer.concat(changed);
  const params = { [constants.ZSTD_c_compressionLevel]: 3 };
  let bytes = 0;
  for (let at = 0; at < pieces.length; at += 8 * mebibyte) {
    bytes += zstdCompressSync(pieces.subarray(at, at + 8 * mebibyte), { params }).length;
  }
  return bytes;
}
