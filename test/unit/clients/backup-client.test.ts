import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import {
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BackupClient } from '../../../clients/backup/backup-client.ts';
import { fileSource } from '../../../clients/backup/database-file.ts';
import { extentDigest, pageDigests, RootDigest } from '../../../clients/format/digests.ts';
import {
  type Backup,
  BackupSchema,
  BackupService,
  type DownloadBackupRequest,
  type DownloadBackupResponse,
  DownloadBackupResponseSchema,
  type ExtentDigests,
  type ListBackupsRequest,
  type ListBackupsResponse,
  ListBackupsResponseSchema,
  type PageDigests,
  type UploadBackupRequest,
  type UploadBackupResponse,
  UploadBackupResponseSchema,
  type UploadStart,
} from '../../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import { serve } from './fake-server.ts';

type Uploading = ServerDuplexStream<UploadBackupRequest, UploadBackupResponse>;
type Downloading = ServerWritableStream<DownloadBackupRequest, DownloadBackupResponse>;

const ACCEPTED = create(UploadBackupResponseSchema, { part: { case: 'accepted', value: {} } });

/** A file of 40 extents and a bit, and its backup. */
const FILE = Buffer.from(Array.from({ length: 2_700_001 }, (_, index) => (index * 7919) >> 5));
const BACKUP = backupOf(FILE);

function backupOf(file: Buffer): Backup {
  const root = new RootDigest(file.length);
  for (let at = 0; at < file.length; at += 65_536) {
    root.add(extentDigest(pageDigests(file.subarray(at, at + 65_536), 4096)));
  }
  return create(BackupSchema, {
    number: 7n,
    sizeBytes: BigInt(file.length),
    root: root.finish(),
    pageSizeBytes: 4096,
    sha256: createHash('sha256').update(file).digest(),
  });
}

let folder: string;
let path: string;
const open: (Disposable | AsyncDisposable)[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'backscroll-client-'));
  path = join(folder, 'app.db');
});

afterEach(async () => {
  for (const resource of open.splice(0).reverse()) {
    if (Symbol.asyncDispose in resource) await resource[Symbol.asyncDispose]();
    else resource[Symbol.dispose]();
  }
  rmSync(folder, { recursive: true });
});

async function clientOf(handlers: Parameters<typeof serve>[1]) {
  const server = await serve(BackupService, handlers);
  const client = new BackupClient(server.address);
  open.push(server, client);
  return { server, client };
}

describe('upload', () => {
  /** Keeps what each try sent; `answer` decides what becomes of it. */
  function uploads(answer: (call: Uploading, nth: number) => void) {
    const tries: { start: UploadStart | undefined; bytes: Buffer }[] = [];
    const uploadBackup = (call: Uploading) => {
      const seen: (typeof tries)[number] = { start: undefined, bytes: Buffer.alloc(0) };
      tries.push(seen);
      const nth = tries.length;
      call.on('data', ({ part }: UploadBackupRequest) => {
        if (part.case === 'start') {
          seen.start = part.value;
          call.write(ACCEPTED);
        }
        if (part.case === 'data') seen.bytes = Buffer.concat([seen.bytes, part.value]);
        if (part.case === 'extentDigests') call.write(neededExtents(part.value));
        if (part.case === 'pageDigests') call.write(neededPages(part.value));
      });
      call.on('end', () => answer(call, nth));
    };
    return { tries, uploadBackup };
  }

  /** A service that has nothing wants every extent, and every page. */
  const neededExtents = ({ firstExtent, digests }: ExtentDigests) => {
    const offsets = Array.from({ length: digests.length / 16 }, (_, offset) => offset);
    const value = { firstExtent, offsets };
    return create(UploadBackupResponseSchema, { part: { case: 'neededExtents', value } });
  };

  const neededPages = ({ extents }: PageDigests) => {
    const runs = extents.map(({ extent, digests }) => ({
      firstPage: extent * 16n,
      count: digests.length / 16,
    }));
    const value = { firstExtent: extents[0]!.extent, runs };
    return create(UploadBackupResponseSchema, { part: { case: 'neededPages', value } });
  };

  /** A file whose bytes can be read in order alone. */
  const inOrder = async () => {
    const { sizeBytes, stream } = await fileSource(path);
    return { sizeBytes, stream };
  };

  const commit = (call: Uploading) => {
    call.write(
      create(UploadBackupResponseSchema, { part: { case: 'result', value: { backup: BACKUP } } }),
    );
    call.end();
  };

  it('sends a file, and again under the same id after ABORTED or a break', async () => {
    writeFileSync(path, FILE);
    const { tries, uploadBackup } = uploads((call, nth) => {
      if (nth === 1) call.emit('error', { code: status.ABORTED, details: 'raced' });
      else if (nth === 2) call.end();
      else commit(call);
    });
    const { client } = await clientOf({ uploadBackup });
    const progress: number[] = [];
    const { backup, unchanged, sentBytes } = await client.upload(await inOrder(), {
      user: 'alice',
      label: 'phone',
      databaseCreatedAtMs: 12,
      onProgress: ({ sentBytes }) => progress.push(sentBytes),
    });
    expect(backup.number).toBe(7n);
    expect(unchanged).toBe(false);
    expect(tries).toHaveLength(3);
    for (const { start, bytes } of tries) {
      expect(bytes.equals(FILE)).toBe(true);
      expect(start).toMatchObject({ user: 'alice', label: 'phone', databaseCreatedAtMs: 12n });
      expect(start?.sizeBytes).toBe(BigInt(FILE.length));
    }
    expect(new Set(tries.map(({ start }) => start?.uploadId)).size).toBe(1);
    expect(progress.at(-1)).toBe(FILE.length);
    expect(sentBytes).toBeGreaterThan(3 * FILE.length);
  });

  it('notices when the service keeps another file than was sent', async () => {
    const { uploadBackup } = uploads(commit);
    const { client } = await clientOf({ uploadBackup });
    writeFileSync(path, FILE);
    await client.upload(path, { user: 'alice' });
    writeFileSync(path, FILE.subarray(1));
    await expect(client.upload(path, { user: 'alice' })).rejects.toMatchObject({
      code: status.DATA_LOSS,
      reason: 'DIGEST_MISMATCH',
    });
  });

  it('does not repeat what is refused', async () => {
    const { tries, uploadBackup } = uploads((call) =>
      call.emit('error', { code: status.INVALID_ARGUMENT, details: 'no database' }),
    );
    const { client } = await clientOf({ uploadBackup });
    writeFileSync(path, FILE);
    await expect(client.upload(await inOrder(), { user: 'alice' })).rejects.toMatchObject({
      code: status.INVALID_ARGUMENT,
    });
    expect(tries).toHaveLength(1);
  });

  it('holds its source back when the service reads slowly', async () => {
    let yielded = 0;
    let received = 0;
    let mostAhead = 0;
    const { client } = await clientOf({
      uploadBackup: (call: Uploading) => {
        call.on('data', ({ part }: UploadBackupRequest) => {
          if (part.case === 'data') received += 1;
          call.pause();
          setImmediate(() => call.resume());
        });
        call.on('end', () => commit(call));
      },
    });
    const source = {
      sizeBytes: 1000 * 65_536,
      async *stream() {
        for (; yielded < 1000; yielded += 1) {
          mostAhead = Math.max(mostAhead, yielded - received);
          yield new Uint8Array(65_536);
        }
      },
    };
    await client.upload(source, { user: 'alice' });
    expect(received).toBe(1000);
    expect(mostAhead).toBeLessThan(200);
  });

  it('fails with what its source fails with', async () => {
    const { client } = await clientOf({ uploadBackup: (call: Uploading) => void call.resume() });
    const source = {
      sizeBytes: 10,
      // biome-ignore lint/correctness/useYield: it fails before
      async *stream(): AsyncGenerator<Uint8Array> {
        throw new RangeError('gone');
      },
    };
    await expect(client.upload(source, { user: 'alice' })).rejects.toThrow(new RangeError('gone'));
  });

  it.each([
    ['-wal', Buffer.from('x')],
    ['-journal', Buffer.from('d9d505f920a163d7', 'hex')],
  ])('refuses a database with a part of it in %s', async (suffix, bytes) => {
    const { client } = await clientOf({});
    writeFileSync(path, FILE);
    writeFileSync(path + suffix, bytes);
    await expect(client.upload(path, { user: 'alice' })).rejects.toMatchObject({
      reason: 'DATABASE_IN_USE',
    });
    await expect(
      client.downloadToFile(path, { user: 'alice', overwrite: true }),
    ).rejects.toMatchObject({ reason: 'DATABASE_IN_USE' });
  });

  it('refuses what is no regular file', async () => {
    const { client } = await clientOf({});
    await expect(client.upload(folder, { user: 'alice' })).rejects.toMatchObject({
      message: `${folder} is a directory`,
      reason: 'NOT_A_FILE',
    });
  });

  it.each([
    ['whole', inOrder],
    ['incrementally', () => path],
  ])('does not commit a file that is written to meanwhile, sent %s', async (_how, source) => {
    writeFileSync(path, FILE);
    const { tries, uploadBackup } = uploads(commit);
    const { client } = await clientOf({ uploadBackup });
    const uploading = client.upload(await source(), {
      user: 'alice',
      onProgress: ({ sentBytes, sizeBytes }) => {
        if (sentBytes === sizeBytes)
          writeFileSync(
            path,
            FILE.map((byte) => byte ^ 1),
          );
      },
    });
    await expect(uploading).rejects.toMatchObject({ reason: 'SOURCE_CHANGED' });
    expect(tries).toHaveLength(1);
  });
});

describe('download', () => {
  /** Sends the backup from the offset asked for; `stopAt` lists where each stream breaks off. */
  function downloads(file: Buffer, stopAt: number[] = []) {
    const requests: DownloadBackupRequest[] = [];
    const downloadBackup = (call: Downloading) => {
      requests.push(call.request);
      const part = (value: DownloadBackupResponse['part']) =>
        call.write(create(DownloadBackupResponseSchema, { part: value }));
      part({ case: 'backup', value: BACKUP });
      const end = stopAt[requests.length - 1] ?? file.length;
      for (let at = Number(call.request.offsetBytes); at < end; at += 100_000) {
        part({ case: 'data', value: file.subarray(at, Math.min(at + 100_000, end)) });
      }
      if (end < file.length) call.emit('error', { code: status.UNAVAILABLE, details: 'stopping' });
      else call.end();
    };
    return { requests, downloadBackup };
  }

  it('goes on where it was, with the same backup', async () => {
    const { requests, downloadBackup } = downloads(FILE, [1_000_000, 1_000_000, 2_000_000]);
    const { client } = await clientOf({ downloadBackup });
    const received: number[] = [];
    const backup = await client.downloadToFile(path, {
      user: 'alice',
      onProgress: ({ receivedBytes }) => received.push(receivedBytes),
    });
    expect(backup.number).toBe(7n);
    expect(readFileSync(path).equals(FILE)).toBe(true);
    expect(received.at(-1)).toBe(FILE.length);
    expect(requests.map(({ number, offsetBytes }) => [number, offsetBytes])).toEqual([
      [0n, 0n],
      [7n, 1_000_000n],
      [7n, 1_000_000n],
      [7n, 2_000_000n],
    ]);
    expect(readdirSync(folder)).toEqual(['app.db']);
  });

  it('reads from an offset on', async () => {
    const { downloadBackup } = downloads(FILE);
    const { client } = await clientOf({ downloadBackup });
    const download = await client.download({ user: 'alice', number: 7, offsetBytes: 2_600_000 });
    const chunks: Uint8Array[] = [];
    for await (const chunk of download) chunks.push(chunk);
    expect(Buffer.concat(chunks).equals(FILE.subarray(2_600_000))).toBe(true);
  });

  it('refuses other bytes than the backup has, and leaves nothing behind', async () => {
    const damaged = Buffer.from(FILE);
    damaged[1_234_567]! ^= 1;
    const { client } = await clientOf({ downloadBackup: downloads(damaged).downloadBackup });
    await expect(client.downloadToFile(path, { user: 'alice' })).rejects.toMatchObject({
      code: status.DATA_LOSS,
      reason: 'DIGEST_MISMATCH',
    });
    expect(readdirSync(folder)).toEqual([]);
  });

  it('replaces a file only when it may', async () => {
    const { client } = await clientOf({ downloadBackup: downloads(FILE).downloadBackup });
    writeFileSync(path, 'precious');
    await expect(client.downloadToFile(path, { user: 'alice' })).rejects.toMatchObject({
      reason: 'FILE_EXISTS',
    });
    expect(readFileSync(path, 'utf8')).toBe('precious');
    await client.downloadToFile(path, { user: 'alice', overwrite: true });
    expect(readFileSync(path).equals(FILE)).toBe(true);
  });

  it('never replaces what is no regular file', async () => {
    const { client } = await clientOf({ downloadBackup: downloads(FILE).downloadBackup });
    const target = join(folder, 'target.db');
    writeFileSync(target, 'precious');
    symlinkSync(target, path);
    const socket = join(folder, 'socket');
    const listener = createServer().listen(socket);
    open.push(listener);
    await once(listener, 'listening');
    for (const taken of [path, socket, folder]) {
      const downloading = client.downloadToFile(taken, { user: 'alice', overwrite: true });
      await expect(downloading).rejects.toMatchObject({ reason: 'NOT_A_FILE' });
    }
    expect(lstatSync(socket).isSocket()).toBe(true);
    expect(readFileSync(path, 'utf8')).toBe('precious');
  });

  it('removes what it wrote when it is aborted', async () => {
    const { client } = await clientOf({ downloadBackup: downloads(FILE).downloadBackup });
    const abort = new AbortController();
    const downloading = client.downloadToFile(path, {
      user: 'alice',
      signal: abort.signal,
      onProgress: () => abort.abort(),
    });
    await expect(downloading).rejects.toMatchObject({ code: status.CANCELLED });
    expect(existsSync(path)).toBe(false);
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe('list', () => {
  it('asks for page after page', async () => {
    const { client } = await clientOf({
      listBackups: (
        call: ServerUnaryCall<ListBackupsRequest, ListBackupsResponse>,
        respond: sendUnaryData<ListBackupsResponse>,
      ) => {
        const page = Number(call.request.pageToken || 0);
        const backups = [{ number: BigInt(30 - page * 2) }, { number: BigInt(29 - page * 2) }];
        const nextPageToken = page < 2 ? String(page + 1) : '';
        respond(null, create(ListBackupsResponseSchema, { backups, nextPageToken }));
      },
    });
    const numbers: bigint[] = [];
    for await (const backup of client.list({ user: 'alice' })) numbers.push(backup.number);
    expect(numbers).toEqual([30n, 29n, 28n, 27n, 26n, 25n]);
  });
});
