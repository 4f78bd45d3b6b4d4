import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { type DownloadAnswer, unpackFrames } from '../../clients/backup/frames-download.ts';
import { callServerStream, typedMethods } from '../../clients/calls.ts';
import { openChannel } from '../../clients/channel.ts';
import {
  BackupService,
  DownloadBackupRequestSchema,
} from '../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import { BackupClient } from '../../clients/index.ts';
import { readBackupConfig } from '../../services/backup/config.ts';
import { startBackup } from '../../services/backup/service.ts';
import { Random } from '../support/random.ts';

const { downloadBackup } = typedMethods(BackupService);
const user = 'alice';

/** States of a file: pages of it change here and there, or in one place, and it grows and shrinks. */
function* states(random: Random): Generator<Buffer> {
  let file = Buffer.concat(
    Array.from({ length: 2_300 }, (_, page) => pageOf(random, page % 7 === 0)),
  );
  yield Buffer.from(file);
  for (let round = 0; round < 6; round++) {
    const scattered = Array.from({ length: 150 }, () =>
      random.between(0, Math.floor(file.length / 4096) - 1),
    );
    const first = random.between(0, Math.floor(file.length / 4096) - 1);
    const together = Array.from({ length: 80 }, (_, index) => first + index);
    for (const page of round % 2 === 0 ? scattered : together) {
      pageOf(random, page % 5 === 0).copy(file, page * 4096);
    }
    // The last page may be a short one.
    file = file.subarray(0, file.length - random.between(0, 300_000 - 1));
    yield Buffer.from(file);
  }
}

/** A page that compresses well, or not at all. */
function pageOf(random: Random, noise: boolean): Buffer {
  if (!noise) return Buffer.alloc(4096, `row ${random.between(0, 1e9 - 1)} of a table, `);
  return Buffer.from(Array.from({ length: 4096 }, () => random.between(0, 256 - 1)));
}

async function read(answers: AsyncIterable<DownloadAnswer>) {
  const bytes: Uint8Array[] = [];
  for await (const { part } of answers) if (part.case === 'data') bytes.push(part.value);
  return Buffer.concat(bytes);
}

describe('a download of frames', () => {
  it('gives the bytes of a plain one, from any offset, of every state', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'backscroll-frames-'));
    await using service = await startBackup(
      readBackupConfig({
        BACKUP_LISTEN: '127.0.0.1:0',
        BACKUP_METRICS_LISTEN: '127.0.0.1:0',
        BACKUP_STORE_URL: `file:${folder.path}`,
      }),
    );
    const random = new Random(7);
    using client = new BackupClient(service.address);
    const channel = openChannel(service.address);
    const files = [...states(random)];
    for (const file of files) {
      const source = {
        sizeBytes: file.length,
        stream: async function* () {
          yield file;
        },
      };
      await client.upload(source, { user, opaque: true });
    }
    for (const [index, file] of files.entries()) {
      const offsets = [
        0,
        1,
        65_536,
        random.between(0, file.length - 1),
        file.length - 1,
        file.length,
      ];
      for (const offset of offsets) {
        const request = { user, number: BigInt(index + 1), offsetBytes: BigInt(offset) };
        const plain = create(DownloadBackupRequestSchema, request);
        const framed = create(DownloadBackupRequestSchema, { ...request, frames: true });
        const wanted = file.subarray(offset);
        expect((await read(callServerStream(channel, downloadBackup, plain))).equals(wanted)).toBe(
          true,
        );
        const frames = callServerStream(channel, downloadBackup, framed);
        expect((await read(unpackFrames(frames, offset))).equals(wanted)).toBe(true);
      }
    }
    channel.close();
  });
});
