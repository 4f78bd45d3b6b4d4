import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { type Client, status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { callBidi, callServerStream, callUnary, typedMethods } from '../../clients/calls.ts';
import { openChannel } from '../../clients/channel.ts';
import {
  BackupAgeRequestSchema,
  BackupService,
  DownloadBackupRequestSchema,
  ListBackupsRequestSchema,
  type UploadBackupRequest,
  UploadBackupRequestSchema,
  type UploadMode,
  type UploadStartSchema,
} from '../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import { BackupClient } from '../../clients/index.ts';
import { readBackupConfig } from '../../services/backup/config.ts';
import { MOST_TRANSFERS } from '../../services/backup/limits.ts';
import { startBackup } from '../../services/backup/service.ts';
import { madeDatabase, uploadRequests } from '../contract/backup/transfers.ts';
import { freshBackupStore } from '../support/databases.ts';
import { eventually } from '../support/eventually.ts';
import { readHeld, untilNothingHeld } from '../support/gauges.ts';

const methods = typedMethods(BackupService);
const file = madeDatabase(200);
const name = 'a'.repeat(255);

type Part = NonNullable<MessageInitShape<typeof UploadBackupRequestSchema>['part']>;

/** A start, what follows it, and how that must end. */
type Refusal = [
  what: string,
  start: MessageInitShape<typeof UploadStartSchema>,
  parts: Part[],
  code: number,
  reason: string,
  field?: string,
];

const data = (value: Uint8Array) => ({ case: 'data' as const, value });
const invalid = status.INVALID_ARGUMENT;
const refusals: Refusal[] = [
  ['no user', { user: '' }, [], invalid, 'MISSING_FIELD', 'start.user'],
  ['a long user', { user: `${name}b` }, [], invalid, 'TOO_LARGE', 'start.user'],
  ['a control character', { user: 'a\nb' }, [], invalid, 'INVALID_FIELD', 'start.user'],
  ['a long database', { database: `${name}b` }, [], invalid, 'TOO_LARGE', 'start.database'],
  ['a long label', { label: `${name}b` }, [], invalid, 'TOO_LARGE', 'start.label'],
  ['a long upload id', { uploadId: 'é'.repeat(65) }, [], invalid, 'TOO_LARGE', 'start.upload_id'],
  ['no size', { sizeBytes: 0n }, [], invalid, 'MISSING_FIELD', 'start.size_bytes'],
  ['65 GiB', { sizeBytes: 65n << 30n }, [], invalid, 'TOO_LARGE', 'start.size_bytes'],
  ['a short SHA-256', { sha256: Buffer.alloc(31) }, [], invalid, 'INVALID_FIELD', 'start.sha256'],
  ['an unknown mode', { mode: 9 as UploadMode }, [], invalid, 'INVALID_FIELD', 'start.mode'],
  ['a page size', { pageSizeBytes: 4096 }, [], invalid, 'INVALID_FIELD', 'start.page_size_bytes'],
  ['no page size', { mode: 2 }, [], invalid, 'INVALID_FIELD', 'start.page_size_bytes'],
  ['a second start', {}, [{ case: 'start', value: {} }], invalid, 'OUT_OF_ORDER', 'start'],
  ['a frame', {}, [{ case: 'frame', value: {} }], invalid, 'OUT_OF_ORDER', 'frame'],
  ['nothing said', {}, [{ case: undefined }], invalid, 'OUT_OF_ORDER', 'part'],
  ['no database', {}, [data(Buffer.alloc(100, 'x'))], invalid, 'NOT_A_DATABASE', 'data'],
  [
    'pages that do not fit the size',
    { sizeBytes: 4095n },
    [data(file.subarray(0, 100))],
    invalid,
    'NOT_A_DATABASE',
    'data',
  ],
  ['an empty part', {}, [data(Buffer.of())], invalid, 'INVALID_FIELD', 'data'],
  [
    'a part of 1 MiB and more',
    {},
    [data(Buffer.alloc((1 << 20) + 1))],
    invalid,
    'TOO_LARGE',
    'data',
  ],
  [
    'fewer bytes',
    {},
    [data(file.subarray(0, 262_144))],
    invalid,
    'SIZE_MISMATCH',
    'start.size_bytes',
  ],
  ['none at all', {}, [], invalid, 'SIZE_MISMATCH', 'start.size_bytes'],
  [
    'more bytes',
    { sizeBytes: 8192n },
    [data(file.subarray(0, 8192)), data(Buffer.of(1))],
    invalid,
    'SIZE_MISMATCH',
    'start.size_bytes',
  ],
  [
    'other bytes',
    { sha256: createHash('sha256').update('other').digest() },
    [data(file)],
    invalid,
    'DIGEST_MISMATCH',
    'start.sha256',
  ],
];

describe.each(['a folder', 'MinIO'] as const)('a caller of the backup service on %s', (store) => {
  const stack = new AsyncDisposableStack();
  let client: Client;
  let address: string;
  let metrics: string;

  beforeAll(async () => {
    const server = stack.use(
      await startBackup(
        readBackupConfig({
          BACKUP_LISTEN: '127.0.0.1:0',
          BACKUP_METRICS_LISTEN: '127.0.0.1:0',
          LOG_LEVEL: 'silent',
          ...(await freshBackupStore(store, inject('minioUrl'), stack)),
        }),
      ),
    );
    address = server.address;
    metrics = server.metricsAddress;
    client = openChannel(server.address);
    stack.defer(() => client.close());
  });
  afterAll(() => stack.disposeAsync());

  it.each(refusals)('is refused %s', async (_what, start, parts, code, reason, field) => {
    const whole = { user: 'refused', sizeBytes: BigInt(file.length), ...start };
    const requests: Part[] = [{ case: 'start', value: whole }, ...parts];
    const sending = send(requests.map(requestOf));
    const fields = field === undefined ? [] : [{ field, description: expect.any(String) }];
    await expect(sending).rejects.toMatchObject({ code, reason, fields });
    expect(await age('refused')).toMatchObject({ ageSeconds: -1, newestNumber: 0n });
    await untilNothingHeld(metrics, AbortSignal.timeout(60_000));
  });

  it('is refused data before a start, and a stream of nothing', async () => {
    const out = { code: invalid, reason: 'OUT_OF_ORDER' };
    const part = data(file.subarray(0, 100));
    await expect(send([create(UploadBackupRequestSchema, { part })])).rejects.toMatchObject(out);
    await expect(send([])).rejects.toMatchObject(out);
  });

  it('is refused while it still sends', async () => {
    const requests = function* () {
      yield* uploadRequests(Buffer.alloc(100, 'x'), { user: 'eager', sizeBytes: 1n << 30n });
      const endless = create(UploadBackupRequestSchema, { part: data(Buffer.alloc(262_144)) });
      for (let left = 4096; left > 0; left--) yield endless;
    };
    await expect(send(requests())).rejects.toMatchObject({ reason: 'NOT_A_DATABASE' });
  });

  it('is told of acceptance, progress and result', async () => {
    const large = madeDatabase(33_000);
    const sha256 = createHash('sha256').update(large).digest();
    const start = { user: 'told', uploadId: 'mine', sha256 };
    const answers = await send(uploadRequests(large, start));
    expect(answers.map(({ part }) => part.case)).toEqual([
      'accepted',
      'progress',
      'progress',
      'result',
    ]);
    expect(answers[0]?.part.value).toMatchObject({ uploadId: 'mine', baseNumber: 0n });
    expect(answers[1]?.part.value).toMatchObject({ receivedBytes: 64n << 20n });
    const again = await send(uploadRequests(large, start));
    expect(again.map(({ part }) => part.case)).toEqual(['accepted', 'result']);
    expect(again[0]?.part.value).toMatchObject({ baseNumber: 1n });
    expect(again[1]?.part.value).toMatchObject({ repeated: true });
  });

  it('is given an upload id where it has none', async () => {
    const answers = await send(uploadRequests(file, { user: 'nameless' }));
    const [backup] = (await list({ user: 'nameless' })).backups;
    expect(backup?.uploadId).toMatch(/^[\da-f-]{36}$/);
    expect(answers[0]?.part.value).toMatchObject({ uploadId: backup?.uploadId });
  });

  it('lists page by page, newest first', async () => {
    for (let n = 1; n <= 5; n++)
      await send(uploadRequests(file, { user: 'lister', label: `${n}` }));
    const labels: string[][] = [];
    let pageToken = '';
    do {
      const page = await list({ user: 'lister', pageSize: 2, pageToken });
      labels.push(page.backups.map(({ label }) => label));
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    expect(labels).toEqual([['5', '4'], ['3', '2'], ['1']]);
    expect((await list({ user: 'lister' })).backups).toHaveLength(5);
    expect((await list({ user: 'lister', database: 'other.db' })).backups).toEqual([]);
    await expect(list({ user: 'lister', pageToken: 'x' })).rejects.toMatchObject({
      reason: 'INVALID_FIELD',
      fields: [{ field: 'page_token' }],
    });
    await expect(list({})).rejects.toMatchObject({ reason: 'MISSING_FIELD' });
  });

  it('learns the age of the newest backup, and of the database', async () => {
    expect(await age('young')).toMatchObject({ ageSeconds: -1, databaseAgeSeconds: -1 });
    const made = BigInt(Date.now() - 3_600_000);
    await send(uploadRequests(file, { user: 'young', databaseCreatedAtMs: made }));
    const { ageSeconds, databaseAgeSeconds, newestAtMs, newestNumber } = await age('young');
    expect(newestNumber).toBe(1n);
    expect(ageSeconds).toBeGreaterThanOrEqual(0);
    expect(ageSeconds).toBeLessThan(60);
    expect(databaseAgeSeconds).toBeGreaterThanOrEqual(3_598);
    expect(databaseAgeSeconds).toBeLessThan(3_660);
    expect(Math.abs(Number(newestAtMs) - Date.now())).toBeLessThan(60_000);
    await expect(age('')).rejects.toMatchObject({ code: invalid, reason: 'MISSING_FIELD' });
  });

  it('downloads what it names, and is refused what is not there', async () => {
    await send(uploadRequests(file, { user: 'reader' }));
    expect(await download({ user: 'reader' })).toEqual(file);
    expect(await download({ user: 'reader', number: 1n, offsetBytes: 5_000n })).toEqual(
      file.subarray(5_000),
    );
    const absent = { code: status.NOT_FOUND, reason: 'BACKUP_NOT_FOUND' };
    await expect(download({ user: 'reader', number: 2n })).rejects.toMatchObject(absent);
    await expect(download({ user: 'reader', database: 'x' })).rejects.toMatchObject(absent);
    const beyond = download({ user: 'reader', offsetBytes: BigInt(file.length + 1) });
    await expect(beyond).rejects.toMatchObject({ fields: [{ field: 'offset_bytes' }] });
    await expect(download({ user: 'reader', number: 1n << 60n })).rejects.toMatchObject({
      fields: [{ field: 'number' }],
    });
  });

  it('never reaches the backups of another name', async () => {
    await send(uploadRequests(file, { user: 'Alice', database: 'x' }));
    for (const other of ['alice', 'Alice ', 'Alic', 'Alice/x', '../Alice']) {
      expect(await age(other)).toMatchObject({ newestNumber: 0n });
    }
    await send(uploadRequests(file, { user: name, database: '../../🗝 \u202e' }));
    expect((await list({ user: name, database: '../../🗝 \u202e' })).backups).toHaveLength(1);
  });

  it('is refused a transfer beyond the limit, and answered all else', async () => {
    const gone = new AbortController();
    const options = { signal: gone.signal };
    const held = Array.from({ length: MOST_TRANSFERS }, async () => {
      const [start] = uploadRequests(file, { user: 'many' });
      const produce = async (write: (request: UploadBackupRequest) => Promise<void>) => {
        await write(start!);
        await once(gone.signal, 'abort');
      };
      const answers = callBidi(client, methods.uploadBackup, produce, options);
      const iterator = answers[Symbol.asyncIterator]();
      expect((await iterator.next()).value).toMatchObject({ part: { case: 'accepted' } });
      return iterator;
    });
    const open = await Promise.all(held);
    expect((await readHeld(metrics)).backup_transfers_in_flight).toBe(MOST_TRANSFERS);
    const refused = { code: status.RESOURCE_EXHAUSTED, reason: 'TOO_MANY_CALLS' };
    await expect(send(uploadRequests(file, { user: 'more' }))).rejects.toMatchObject(refused);
    await expect(download({ user: 'many' })).rejects.toMatchObject(refused);
    expect(await age('many')).toMatchObject({ newestNumber: 0n });
    expect((await list({ user: 'many' })).backups).toEqual([]);

    // The client library waits until there is room.
    using patient = new BackupClient(address);
    const source = { sizeBytes: file.length, stream: () => Readable.from([file]) };
    const waiting = patient.upload(source, { user: 'waits' });
    await eventually(async () => {
      const text = await (await fetch(`http://${metrics}/metrics`)).text();
      const refusals = /^grpc_server_handled_total\{.*UploadBackup.*RESOURCE_EXHAUSTED.*\} (\d+)$/m;
      expect(Number(refusals.exec(text)?.[1])).toBeGreaterThan(1);
    });

    gone.abort();
    expect((await waiting).backup.number).toBe(1n);
    const ends = await Promise.allSettled(open.map((answers) => answers.next()));
    expect(ends.map(({ status: end }) => end)).not.toContain('fulfilled');
    await untilNothingHeld(metrics, AbortSignal.timeout(60_000));
    await send(uploadRequests(file, { user: 'more' }));
    expect((await download({ user: 'more' })).equals(file)).toBe(true);
  });

  function send(requests: Iterable<UploadBackupRequest>) {
    const produce = async (write: (request: UploadBackupRequest) => Promise<void>) => {
      for (const request of requests) await write(request);
    };
    return Array.fromAsync(callBidi(client, methods.uploadBackup, produce));
  }

  function age(user: string) {
    return callUnary(client, methods.backupAge, create(BackupAgeRequestSchema, { user }));
  }

  function list(request: MessageInitShape<typeof ListBackupsRequestSchema>) {
    return callUnary(client, methods.listBackups, create(ListBackupsRequestSchema, request));
  }

  async function download(request: MessageInitShape<typeof DownloadBackupRequestSchema>) {
    const message = create(DownloadBackupRequestSchema, request);
    const answers = await Array.fromAsync(
      callServerStream(client, methods.downloadBackup, message),
    );
    const parts = answers.map(({ part }) => (part.case === 'data' ? part.value : Buffer.of()));
    return Buffer.concat(parts);
  }
});

function requestOf(part: Part): UploadBackupRequest {
  return create(UploadBackupRequestSchema, { part });
}
