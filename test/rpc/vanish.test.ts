import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { BackupClient } from '../../clients/backup/backup-client.ts';
import { HistoryClient } from '../../clients/history/history-client.ts';
import { freshBackupStore, freshDatabase } from '../support/databases.ts';
import { eventually } from '../support/eventually.ts';
import { readHeld, untilNothingHeld } from '../support/gauges.ts';
import { migrate } from '../support/migrate.ts';
import { startService, TestProcess, type TestService } from '../support/processes.ts';

/** Longest that a service may hold on to what nobody waits for, in milliseconds. */
const patienceMs = 60_000;

const used = new AsyncDisposableStack();
let folder = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'backscroll-vanish-'));
  used.defer(() => rm(folder, { recursive: true, force: true }));
});

afterAll(() => used.disposeAsync());

describe.each(['MySQL', 'SQLite'])('the history service on %s lets go', (engine) => {
  let service: TestService;
  let client: HistoryClient;

  beforeAll(async () => {
    const url =
      engine === 'MySQL' ? await mysqlDatabase(used) : `sqlite:${join(folder, 'history.db')}`;
    service = used.use(await startService('history', { HISTORY_DATABASE_URL: url }));
    client = used.use(new HistoryClient(service.address));
    for await (const _ of client.import(longConversation())) {
      // The answers are of no interest.
    }
  });

  test.each(['sync', 'import'])('when a client vanishes in the middle of a %s', async (kind) => {
    await vanish(kind, service);
  });

  test('of the database when a reader stops reading', async () => {
    await using client = await stuckClient('sync', service);
    await eventually(async () =>
      expect(await readHeld(service.metrics)).toEqual({
        grpc_server_in_flight: 1,
        history_store_connections_in_use: 0,
      }),
    );
    await client.kill();
    await untilNothingHeld(service.metrics, AbortSignal.timeout(patienceMs));
  });

  test('when a reader cancels', async () => {
    const controller = new AbortController();
    const page = client.sync({ group: 'long', count: 1_000_000 }, { signal: controller.signal });
    const reading = (async () => {
      for await (const _ of page.frames()) controller.abort();
    })();
    await expect(reading).rejects.toMatchObject({ code: 1 });
    await untilNothingHeld(service.metrics, AbortSignal.timeout(patienceMs));
  });

  test('when a reader leaves', async () => {
    for await (const _ of client.sync({ group: 'long', count: 1_000_000 })) break;
    await untilNothingHeld(service.metrics, AbortSignal.timeout(patienceMs));
  });

  test('when the deadline of an import passes', async () => {
    const importing = (async () => {
      for await (const _ of client.import(endless(), { timeoutMs: 500 })) {
        // It never ends by itself.
      }
    })();
    await expect(importing).rejects.toMatchObject({ code: 4 });
    await untilNothingHeld(service.metrics, AbortSignal.timeout(patienceMs));
  });
});

describe.each(['MinIO', 'a folder'] as const)('the backup service on %s lets go', (store) => {
  let service: TestService;
  let client: BackupClient;

  beforeAll(async () => {
    service = used.use(
      await startService('backup', await freshBackupStore(store, inject('minioUrl'), used)),
    );
    client = used.use(new BackupClient(service.address));
    // Several times what a reader who stops has taken in, and what is on its way to them.
    const bytes = randomBytes(16 << 20);
    const source = { sizeBytes: bytes.length, stream: () => once(bytes) };
    await client.upload(source, { user: 'ana', opaque: true });
  });

  test.each(['download', 'upload'])(
    'when a client vanishes in the middle of a %s',
    async (kind) => {
      await vanish(kind, service);
    },
  );

  test('when a reader cancels', async () => {
    const controller = new AbortController();
    await using download = await client.download({ user: 'ana', signal: controller.signal });
    const reading = (async () => {
      for await (const _ of download) controller.abort();
    })();
    await expect(reading).rejects.toMatchObject({ code: 1 });
    await untilNothingHeld(service.metrics, AbortSignal.timeout(patienceMs));
  });

  test('when the deadline of an upload passes', async () => {
    const source = { sizeBytes: 1 << 30, stream: stalling };
    const upload = client.upload(source, { user: 'slow', opaque: true, timeoutMs: 500 });
    await expect(upload).rejects.toMatchObject({ code: 4 });
    await untilNothingHeld(service.metrics, AbortSignal.timeout(patienceMs));
    expect((await client.age({ user: 'slow' })).newestNumber).toBe(0n);
  });

  test('when the source of an upload fails', async () => {
    const upload = client.upload({ sizeBytes: 1 << 30, stream: failing }, { user: 'slow' });
    await expect(upload).rejects.toThrow('no more of it');
    await untilNothingHeld(service.metrics, AbortSignal.timeout(patienceMs));
  });
});

/** Kills a client process in the middle of a call that it neither reads nor ends. */
async function vanish(kind: string, service: TestService): Promise<void> {
  await using client = await stuckClient(kind, service);
  await client.kill();
  await untilNothingHeld(service.metrics, AbortSignal.timeout(patienceMs));
}

async function stuckClient(kind: string, service: TestService): Promise<TestProcess> {
  const client = new TestProcess(['test/support/vanishing-client.ts', kind, service.address]);
  await eventually(() => expect(client.stdout, client.stderr).toContain('under way'));
  expect((await readHeld(service.metrics)).grpc_server_in_flight).toBe(1);
  return client;
}

async function mysqlDatabase(used: AsyncDisposableStack): Promise<string> {
  const { url } = used.use(await freshDatabase(inject('mysqlUrl')));
  await migrate(url);
  return url;
}

/** More than all buffers between a service and a client that does not read. */
function* longConversation() {
  const text = 'a long message '.repeat(500);
  for (let batch = 0; batch < 10; batch++) {
    const messages = Array.from({ length: 200 }, (_, index) => ({
      id: `${batch} ${index}`,
      content: { text },
    }));
    yield { runs: [{ group: 'long', messages }] };
  }
}

function* endless() {
  for (let id = 0; ; id++) yield { runs: [{ group: 'endless', messages: [{ id: `${id}` }] }] };
}

async function* once(bytes: Uint8Array) {
  yield bytes;
}

async function* stalling() {
  yield new Uint8Array(1 << 20);
  await new Promise(() => {});
}

async function* failing() {
  yield Buffer.concat([Buffer.from('SQLite format 3\0\x10\0'), Buffer.alloc((1 << 20) - 18)]);
  throw new Error('no more of it');
}
