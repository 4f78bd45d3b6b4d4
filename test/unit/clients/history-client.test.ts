import { create } from '@bufbuild/protobuf';
import {
  Metadata,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import { BackscrollError } from '../../../clients/errors.ts';
import {
  type AppendRequest,
  type AppendResponse,
  AppendResponseSchema,
  HistoryService,
  type ImportRequest,
  type ImportResponse,
  ImportResponseSchema,
  Order,
  type SyncRequest,
  type SyncResponse,
  SyncResponseSchema,
} from '../../../clients/gen/backscroll/history/v1/history_pb.ts';
import { HistoryClient } from '../../../clients/history/history-client.ts';
import type { ImportBatch } from '../../../clients/history/history-requests.ts';
import { eventually } from '../../support/eventually.ts';
import { type FakeServer, serve } from './fake-server.ts';

type Syncing = ServerWritableStream<SyncRequest, SyncResponse>;
type Importing = ServerDuplexStream<ImportRequest, ImportResponse>;

const open: (Disposable | AsyncDisposable)[] = [];
afterEach(async () => {
  for (const resource of open.splice(0).reverse()) {
    if (Symbol.asyncDispose in resource) await resource[Symbol.asyncDispose]();
    else resource[Symbol.dispose]();
  }
});

async function clientOf(handlers: Parameters<typeof serve>[1]) {
  const server = await serve(HistoryService, handlers);
  const client = new HistoryClient(server.address);
  open.push(server, client);
  return { server, client };
}

const frame = (seqs: number[], last = false) =>
  create(SyncResponseSchema, {
    messages: seqs.map((seq) => ({ seq: BigInt(seq), content: { text: `text ${seq}` } })),
    ...(last && { result: { count: BigInt(seqs.length), reachedOldest: true } }),
  });

describe('sync', () => {
  it('reads a page message by message, and its result', async () => {
    let request: SyncRequest | undefined;
    const { client } = await clientOf({
      sync: (call: Syncing) => {
        request = call.request;
        call.write(frame([3, 2]));
        call.write(frame([1], true));
        call.end();
      },
    });
    const page = client.sync({ user: 'alice', peer: 'bob', count: 3, beforeSeq: 4 });
    const seqs: bigint[] = [];
    for await (const message of page) seqs.push(message.seq);
    expect(seqs).toEqual([3n, 2n, 1n]);
    expect((await page.result).reachedOldest).toBe(true);
    expect(request).toMatchObject({
      user: 'alice',
      conversation: { case: 'peer', value: 'bob' },
      count: 3,
      anchor: { case: 'beforeSeq', value: 4n },
      order: Order.NEWEST_FIRST,
    });
  });

  it('takes a stream without a result for cut off', async () => {
    const { client } = await clientOf({
      sync: (call: Syncing) => {
        call.write(frame([2, 1]));
        call.end();
      },
    });
    const page = client.sync({ group: 'g' });
    await expect(page.collect()).rejects.toMatchObject({
      code: status.UNAVAILABLE,
      reason: 'CUT_OFF',
    });
    await expect(page.result).rejects.toMatchObject({ reason: 'CUT_OFF' });
  });

  it('cancels the call when the reader leaves, aborts, or its time is over', async () => {
    let cancelled = 0;
    const { client } = await clientOf({
      sync: (call: Syncing) => {
        call.on('cancelled', () => {
          cancelled += 1;
        });
        call.write(frame([2, 1]));
      },
    });
    for await (const message of client.sync({ group: 'g' })) {
      expect(message.seq).toBe(2n);
      break;
    }
    await eventually(() => expect(cancelled).toBe(1));

    const abort = new AbortController();
    const reading = (async () => {
      for await (const _ of client.sync({ group: 'g' }, { signal: abort.signal })) abort.abort();
    })();
    await expect(reading).rejects.toMatchObject({ code: status.CANCELLED });
    await eventually(() => expect(cancelled).toBe(2));

    await expect(client.sync({ group: 'g' }, { timeoutMs: 50 }).collect()).rejects.toMatchObject({
      code: status.DEADLINE_EXCEEDED,
    });
    await eventually(() => expect(cancelled).toBe(3));
  });

  it('fails at once when its signal fired before', async () => {
    const { client } = await clientOf({ sync: () => {} });
    const page = client.sync({ group: 'g' }, { signal: AbortSignal.abort() });
    await expect(page.collect()).rejects.toMatchObject({ code: status.CANCELLED });
  });
});

describe('append', () => {
  it('gives every try the same ids', async () => {
    const tries: AppendRequest[] = [];
    const { client } = await clientOf({
      append: (
        call: ServerUnaryCall<AppendRequest, AppendResponse>,
        respond: sendUnaryData<AppendResponse>,
      ) => {
        tries.push(call.request);
        if (tries.length === 1) {
          respond({ code: status.UNAVAILABLE, details: 'stopping', metadata: new Metadata() });
        } else {
          respond(null, create(AppendResponseSchema, { messages: [{ seq: 1n }, { seq: 2n }] }));
        }
      },
    });
    const { messages } = await client.append({
      user: 'alice',
      peer: 'bob',
      messages: [{ content: { text: 'one' } }, { id: 'mine', content: { text: 'two' } }],
    });
    expect(messages.map(({ seq }) => seq)).toEqual([1n, 2n]);
    expect(tries).toHaveLength(2);
    const [first, second] = tries.map((request) => request.messages.map(({ id }) => id));
    expect(first).toEqual(second);
    expect(first).toEqual([expect.stringMatching(/^[\da-f]{8}-[\da-f]{4}-7/), 'mine']);
  });
});

describe('import', () => {
  const batch = (id: string): ImportBatch => ({ runs: [{ group: 'g', messages: [{ id }] }] });
  const idOf = (request: ImportRequest) => request.runs[0]?.messages[0]?.id ?? '';

  it('sends what was not answered again after a break, and numbers the answers through', async () => {
    const seen: string[] = [];
    const stored = new Set<string>();
    let server: FakeServer | undefined;
    const built = await clientOf({
      import: (call: Importing) => {
        let inStream = 0n;
        let broken = false;
        call.on('data', (request: ImportRequest) => {
          if (broken) return;
          const id = idOf(request);
          seen.push(id);
          const added = stored.has(id) ? 0 : 1;
          stored.add(id);
          // The third and the seventh are stored, and the connection breaks before their answer.
          broken = ['b3', 'b7'].includes(id) && added === 1;
          if (broken) return server?.breakOff();
          inStream += 1n;
          call.write(create(ImportResponseSchema, { batch: inStream, added, repeated: 1 - added }));
        });
        call.on('end', () => call.end());
        call.on('error', () => {});
      },
    });
    server = built.server;
    const ids = Array.from({ length: 20 }, (_, index) => `b${index + 1}`);
    const answers: ImportResponse[] = [];
    for await (const answer of built.client.import(ids.map(batch))) answers.push(answer);
    expect(answers.map((answer) => answer.batch)).toEqual(ids.map((_, index) => BigInt(index + 1)));
    expect([...stored]).toEqual(ids);
    expect(seen.filter((id) => id === 'b3').length).toBe(2);
    expect(answers.filter((answer) => answer.repeated === 1).length).toBe(2);
  });

  it('gives up a stream that gives nothing for as long as it is told', async () => {
    const { client } = await clientOf({
      sync: (call: Syncing) => void call.write(create(SyncResponseSchema, {})),
    });
    const page = client.sync({ user: 'a', peer: 'b' }, { stallMs: 50 });
    await expect(page.collect()).rejects.toMatchObject({ code: 14, reason: 'CUT_OFF' });
  });

  it('takes at most four batches ahead of their answers', async () => {
    let taken = 0;
    const calls: Importing[] = [];
    const { client } = await clientOf({
      import: (call: Importing) => {
        calls.push(call);
        call.resume();
      },
    });
    function* source() {
      for (let index = 0; index < 100; index += 1) {
        taken += 1;
        yield batch(`b${index}`);
      }
    }
    const answers = client.import(source())[Symbol.asyncIterator]();
    const first = answers.next();
    await eventually(() => expect([taken, calls.length]).toEqual([4, 1]));
    calls[0]?.write(create(ImportResponseSchema, { batch: 1n }));
    await first;
    await eventually(() => expect(taken).toBe(5));
    await answers.return?.();
  });

  it('opens no stream before its source has a batch, and can be aborted while it waits', async () => {
    let opened = 0;
    const { client } = await clientOf({
      import: (call: Importing) => {
        opened += 1;
        call.on('data', () => call.write(create(ImportResponseSchema, { batch: 1n })));
        call.on('end', () => call.end());
      },
    });
    let give = () => {};
    async function* source() {
      await new Promise<void>((resolve) => {
        give = resolve;
      });
      yield batch('b1');
    }
    const first = client.import(source())[Symbol.asyncIterator]().next();
    // Another call on the same connection is answered: a stream would have been opened before it.
    for await (const answer of client.import([batch('b2')])) expect(answer.batch).toBe(1n);
    expect(opened).toBe(1);
    give();
    expect((await first).value.batch).toBe(1n);

    const abort = new AbortController();
    const waiting = client
      .import(source(), { signal: abort.signal })
      [Symbol.asyncIterator]()
      .next();
    abort.abort();
    await expect(waiting).rejects.toMatchObject({ reason: 'CANCELLED' });
  });

  it('fails with what its source fails with, also where the stream broke meanwhile', async () => {
    const { client } = await clientOf({ import: (call: Importing) => void call.resume() });
    async function* source() {
      yield batch('b1');
      throw new RangeError('bad line');
    }
    const answers = client.import(source())[Symbol.asyncIterator]();
    await expect(answers.next()).rejects.toThrow(new RangeError('bad line'));
  });

  it('ends at a refusal, after the answers before it, and closes its source', async () => {
    const { client } = await clientOf({
      import: (call: Importing) => {
        let inStream = 0n;
        call.on('data', (request: ImportRequest) => {
          inStream += 1n;
          if (idOf(request) === 'b2') {
            call.emit('error', { code: status.INVALID_ARGUMENT, details: 'bad' });
          } else if (inStream < 2n) {
            call.write(create(ImportResponseSchema, { batch: inStream }));
          }
        });
      },
    });
    let closed = false;
    function* source() {
      try {
        for (let index = 1; ; index += 1) yield batch(`b${index}`);
      } finally {
        closed = true;
      }
    }
    const answered: bigint[] = [];
    const importing = (async () => {
      for await (const answer of client.import(source())) answered.push(answer.batch);
    })();
    await expect(importing).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
    expect(answered).toEqual([1n]);
    expect(closed).toBe(true);
  });

  it('never takes a stream for complete that ended well before all answers', async () => {
    const seen: string[] = [];
    const { client } = await clientOf({
      import: (call: Importing) => {
        call.once('data', (request: ImportRequest) => {
          seen.push(idOf(request));
          if (seen.length === 1) call.write(create(ImportResponseSchema, { batch: 1n }));
          call.end();
        });
      },
    });
    const abort = new AbortController();
    const answered: bigint[] = [];
    const importing = (async () => {
      const batches = ['b1', 'b2'].map(batch);
      for await (const answer of client.import(batches, { signal: abort.signal })) {
        answered.push(answer.batch);
      }
    })();
    // The second one is tried again, until its caller has had enough.
    await eventually(() => expect(seen.length).toBeGreaterThan(2));
    abort.abort();
    await expect(importing).rejects.toBeInstanceOf(BackscrollError);
    expect(answered).toEqual([1n]);
    expect(new Set(seen.slice(1))).toEqual(new Set(['b2']));
  });

  it('fails with CUT_OFF where streams end well without any answer', async () => {
    const { client } = await clientOf({
      import: (call: Importing) => void call.once('data', () => call.end()),
    });
    const answers = client.import([batch('b1')])[Symbol.asyncIterator]();
    await expect(answers.next()).rejects.toMatchObject({
      code: status.UNAVAILABLE,
      reason: 'CUT_OFF',
    });
  });

  it('gives up when no try brings an answer', async () => {
    const { client, server } = await clientOf({ import: () => {} });
    await server[Symbol.asyncDispose]();
    const abort = new AbortController();
    const answers = client.import([batch('b1')], { signal: abort.signal });
    const first = answers[Symbol.asyncIterator]().next();
    abort.abort();
    await expect(first).rejects.toThrow();
  });
});
