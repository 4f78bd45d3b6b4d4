import { once } from 'node:events';
import { create } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import { describe, expect, test, vi } from 'vitest';
import {
  AppendRequestSchema,
  AppendResponseSchema,
  ImportRequestSchema,
  ImportResponseSchema,
  SyncRequestSchema,
  type SyncResponse,
  SyncResponseSchema,
} from '../../clients/gen/backscroll/history/v1/history_pb.ts';
import type { CallContext } from '../../services/common/call.ts';
import { TestProcess } from '../support/processes.ts';
import { bytesOf, collect, type FakeHandlers, KitClient, startKit } from './kit-harness.ts';
import { SilentProxy } from './kit-proxy.ts';

const APPEND = bytesOf(AppendRequestSchema, { user: 'alice' });
const SYNC = bytesOf(SyncRequestSchema, { user: 'alice' });
const IMPORT = bytesOf(ImportRequestSchema, { runs: [{ user: 'alice' }] });

/** An answer of 256 KiB. */
const FRAME = bytesOf(SyncResponseSchema, {
  messages: [{ content: { opaque: { data: new Uint8Array(256 << 10) } } }],
});

/** What became of the calls of `endless` handlers. */
class Trace {
  begun = 0;
  freed = 0;
  frames = 0;
  readonly reasons: string[] = [];

  /** Holds something until disposed of, and notes why the signal fired. */
  hold(context: CallContext): Disposable {
    this.begun++;
    context.signal.addEventListener('abort', () => this.reasons.push(context.signal.reason.reason));
    return {
      [Symbol.dispose]: () => {
        this.freed++;
      },
    };
  }

  begins(): Promise<void> {
    return vi.waitUntil(() => this.begun > 0, 10_000).then(() => {});
  }
}

/** Handlers that go on until they are stopped. */
function endless(trace: Trace): FakeHandlers {
  return {
    append: async (_, context) => {
      using _held = trace.hold(context);
      await once(context.signal, 'abort');
      return create(AppendResponseSchema);
    },
    async *sync(_, context) {
      using _held = trace.hold(context);
      for (;;) {
        trace.frames++;
        yield FRAME;
      }
    },
    async *import(requests, context) {
      using _held = trace.hold(context);
      for await (const _ of requests) yield create(ImportResponseSchema);
    },
  };
}

describe('a client that cancels frees what the call holds', () => {
  test('unary', async () => {
    const trace = new Trace();
    await using kit = await startKit(endless(trace));
    using client = new KitClient(kit.server.address);
    const stop = new AbortController();
    const answer = client.append(APPEND, {}, stop.signal);
    const failed = expect(answer).rejects.toMatchObject({ reason: 'CANCELLED' });
    await trace.begins();
    stop.abort();
    await failed;
    await kit.idle();
    expect(trace).toMatchObject({ reasons: ['CANCELLED'], freed: 1 });
  });

  test('while it streams', async () => {
    const trace = new Trace();
    await using kit = await startKit(endless(trace));
    using client = new KitClient(kit.server.address);
    const call = client.sync(SYNC).on('error', () => {});
    await once(call, 'readable');
    call.cancel();
    await kit.idle();
    expect(trace).toMatchObject({ reasons: ['CANCELLED'], freed: 1 });
  });

  test('while the service waits for it to send', async () => {
    const trace = new Trace();
    await using kit = await startKit(endless(trace));
    using client = new KitClient(kit.server.address);
    const call = client.import().on('error', () => {});
    await trace.begins();
    call.cancel();
    await kit.idle();
    expect(trace.freed).toBe(1);
  });
});

describe('a deadline frees what the call holds', () => {
  test('in every kind of call, also when the client does not read', async () => {
    const trace = new Trace();
    await using kit = await startKit(endless(trace));
    using client = new KitClient(kit.server.address);
    const tooLate = { reason: 'DEADLINE_EXCEEDED' };
    const options = { deadline: Date.now() + 1_500 };
    const page = client.sync(SYNC, options).on('error', () => {});
    const answer = client.append(APPEND, options);
    const batches = client.import(options);
    batches.write(IMPORT);
    await Promise.all([
      expect(answer).rejects.toMatchObject(tooLate),
      expect(collect(batches)).rejects.toMatchObject(tooLate),
    ]);
    await kit.idle();
    expect(trace.freed).toBe(3);
    page.cancel();
  });
});

describe('a reader that stops reading', () => {
  test('holds a bounded number of answers, and gets all when it reads on', async () => {
    const frames = 100;
    let made = 0;
    await using kit = await startKit({
      async *sync() {
        for (; made < frames; made++) yield FRAME;
      },
    });
    using client = new KitClient(kit.server.address);
    const call = client.sync(SYNC);
    await once(call, 'readable');
    // The client takes its window of 8 MiB and what it reads ahead; the service two frames and one.
    const before = await settled(() => made);
    expect(before).toBeLessThan(60);
    expect(await collect<SyncResponse>(call)).toHaveLength(frames);
  });

  test('is given up after a while, and told why', async () => {
    const trace = new Trace();
    await using kit = await startKit(endless(trace), { limits: { writeIdleMs: 100 } });
    using client = new KitClient(kit.server.address);
    const call = client.sync(SYNC);
    await once(call, 'readable');
    await kit.metricReaches('grpc_server_handled_total', 1);
    expect(trace).toMatchObject({ freed: 1, reasons: [] });
    await expect(collect(call)).rejects.toMatchObject({
      code: status.DEADLINE_EXCEEDED,
      reason: 'IDLE',
    });
  });
});

describe('a client that vanishes frees what its calls hold', () => {
  test('when its process is killed', async () => {
    const trace = new Trace();
    await using kit = await startKit(endless(trace));
    await using reader = new TestProcess(['test/rpc/kit-reader.ts', kit.server.address]);
    await vi.waitUntil(() => reader.stdout.includes('running'), 20_000);
    await vi.waitUntil(() => trace.begun === 3);
    await reader.kill('SIGKILL');
    await kit.idle();
    expect(trace).toMatchObject({ reasons: Array(3).fill('CANCELLED'), freed: 3 });
  });

  test('when the network is cut and nothing is closed', async () => {
    const trace = new Trace();
    await using kit = await startKit(endless(trace), {
      limits: { keepaliveMs: 200, keepaliveTimeoutMs: 1_000 },
    });
    await using proxy = await SilentProxy.start(kit.server.address);
    using client = new KitClient(proxy.address);
    const call = client.import().on('error', () => {});
    await trace.begins();
    proxy.fallSilent();
    await kit.idle();
    expect(trace).toMatchObject({ reasons: ['CANCELLED'], freed: 1 });
    call.cancel();
  });
});

describe('a stream of requests', () => {
  test('from a client that stops sending is given up after a while', async () => {
    const trace = new Trace();
    await using kit = await startKit(endless(trace), { limits: { readIdleMs: 100 } });
    using client = new KitClient(kit.server.address);
    const call = client.import();
    call.write(IMPORT);
    await expect(collect(call)).rejects.toMatchObject({
      code: status.DEADLINE_EXCEEDED,
      reason: 'IDLE',
    });
    await kit.idle();
    expect(trace.freed).toBe(1);
  });

  test('that never begins is given up soon', async () => {
    const trace = new Trace();
    await using kit = await startKit(endless(trace), { limits: { firstRequestMs: 100 } });
    using client = new KitClient(kit.server.address);
    await expect(collect(client.import())).rejects.toMatchObject({
      code: status.DEADLINE_EXCEEDED,
      reason: 'IDLE',
      metadata: { limit_ms: '100' },
    });
    await kit.idle();
    expect(trace.freed).toBe(1);
  });

  test('is read no faster than its handler asks', async () => {
    const { promise: release, resolve } = Promise.withResolvers<void>();
    let seen = 0;
    await using kit = await startKit({
      async *import(requests) {
        await release;
        for await (const _ of requests) seen++;
        yield create(ImportResponseSchema, { added: seen });
      },
    });
    using client = new KitClient(kit.server.address);
    const call = client.import();
    const large = bytesOf(ImportRequestSchema, {
      runs: [{ messages: [{ content: { opaque: { data: new Uint8Array(1 << 20) } } }] }],
    });
    let sent = 0;
    for (let i = 0; i < 64; i++) call.write(large, () => sent++);
    call.end();
    // The service reads four ahead, and what fits in the connection's window.
    expect(await settled(() => sent)).toBeLessThan(32);
    resolve();
    expect(await collect(call)).toMatchObject([{ added: 64 }]);
  });

  test('that its handler leaves early still gets the answers, and OK', async () => {
    await using kit = await startKit({
      async *import(requests) {
        for await (const _ of requests) {
          yield create(ImportResponseSchema, { batch: 1n });
          return;
        }
      },
    });
    using client = new KitClient(kit.server.address);
    const call = client.import();
    for (let i = 0; i < 64; i++) call.write(IMPORT);
    expect(await collect(call)).toMatchObject([{ batch: 1n }]);
    await kit.idle();
    expect(await kit.metric('grpc_server_handled_total', { grpc_code: 'OK' })).toBe(1);
  });

  test('may be read ahead of its answers, and a read under way ends with the call', async () => {
    await using kit = await startKit({
      async *import(requests) {
        const reader = requests[Symbol.asyncIterator]();
        const ahead = reader.next();
        const lost = expect(ahead).rejects.toMatchObject({ reason: 'DEADLINE' });
        try {
          yield create(ImportResponseSchema, { batch: 1n });
          await ahead;
        } finally {
          await lost;
        }
      },
    });
    using client = new KitClient(kit.server.address);
    const call = client.import({ deadline: Date.now() + 100 });
    await expect(collect(call)).rejects.toMatchObject({ code: status.DEADLINE_EXCEEDED });
    await kit.idle();
  });
});

/** The value of a counter once it no longer rises. */
async function settled(read: () => number): Promise<number> {
  let before = -1;
  await vi.waitUntil(() => {
    const now = read();
    const same = now > 0 && now === before;
    before = now;
    return same;
  }, 10_000);
  return before;
}
