import { create } from '@bufbuild/protobuf';
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { status } from '@grpc/grpc-js';
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { BackscrollError } from '../../clients/errors.ts';
import {
  AppendRequestSchema,
  AppendResponseSchema,
  ImportRequestSchema,
  ImportResponseSchema,
  SyncRequestSchema,
} from '../../clients/gen/backscroll/history/v1/history_pb.ts';
import { dataLoss, invalidArgument, notFound, unavailable } from '../../services/common/errors.ts';
import { MAX_REQUEST_FIELDS } from '../../services/common/limits.ts';
import { bytesOf, collect, KitClient, REQUEST_BYTES, startKit } from './kit-harness.ts';

const APPEND = bytesOf(AppendRequestSchema, { user: 'alice' });
const SYNC = bytesOf(SyncRequestSchema, { user: 'alice' });
const IMPORT = bytesOf(ImportRequestSchema, { runs: [{ user: 'alice' }] });

/** Field 1, two bytes that begin no character. */
const INVALID_UTF8 = Buffer.from([0x0a, 0x02, 0xc3, 0x28]);
/** Field 1, ten bytes, of which one is there. */
const CUT_OFF = Buffer.from([0x0a, 0x0a, 0x61]);

async function failure(work: Promise<unknown>): Promise<BackscrollError> {
  const error = await work.then(
    () => new Error('did not fail'),
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(BackscrollError);
  return error as BackscrollError;
}

describe('an error that a handler throws', () => {
  test('reaches the client with its reason, fields and metadata', async () => {
    await using kit = await startKit({
      append: async () => {
        throw invalidArgument('MISSING_FIELD', 'messages[0].id', 'is required, ünd more');
      },
      // biome-ignore lint/correctness/useYield: it fails before its first answer
      async *sync() {
        throw notFound('GROUP_NOT_FOUND', 'there is no such group', { metadata: { hint: 'x' } });
      },
    });
    using client = new KitClient(kit.server.address);

    const unary = await failure(client.append(APPEND));
    expect(unary).toMatchObject({
      code: status.INVALID_ARGUMENT,
      reason: 'MISSING_FIELD',
      message: 'messages[0].id: is required, ünd more',
      fields: [{ field: 'messages[0].id', description: 'is required, ünd more' }],
    });
    const stream = await failure(collect(client.sync(SYNC)));
    expect(stream).toMatchObject({
      code: status.NOT_FOUND,
      reason: 'GROUP_NOT_FOUND',
      metadata: { hint: 'x' },
      fields: [],
    });
    await kit.idle();
    expect(await kit.metric('grpc_server_handled_total', { grpc_code: 'NOT_FOUND' })).toBe(1);
  });

  test('comes after the answers before it', async () => {
    await using kit = await startKit({
      async *import() {
        yield create(ImportResponseSchema, { batch: 1n });
        yield create(ImportResponseSchema, { batch: 2n });
        throw notFound('GROUP_NOT_FOUND', 'there is no such group');
      },
    });
    using client = new KitClient(kit.server.address);
    const call = client.import();
    const batches: bigint[] = [];
    call.on('data', ({ batch }) => batches.push(batch));
    const { promise, resolve } = Promise.withResolvers<unknown>();
    call.on('error', resolve);
    expect(await promise).toMatchObject({ code: status.NOT_FOUND });
    expect(batches).toEqual([1n, 2n]);
  });

  test('that nobody meant for the client gives an id and nothing else', async () => {
    await using kit = await startKit({
      append: async () => {
        throw new Error('secret', { cause: new Error('deeper') });
      },
    });
    using client = new KitClient(kit.server.address);
    const error = await failure(client.append(APPEND));
    expect(error).toMatchObject({ code: status.INTERNAL, reason: 'INTERNAL' });
    expect(error.message).not.toContain('secret');
    const id = error.metadata.error_id;
    expect(id).toMatch(/^[\da-f-]{36}$/);
    const line = kit.logged.find(({ errorId }) => errorId === id);
    expect(line).toMatchObject({ fault: { message: 'secret', cause: { message: 'deeper' } } });
  });

  test.each([
    ['warn', unavailable('STORE_UNAVAILABLE', 'gone', { cause: new Error('ECONNREFUSED') })],
    ['error', dataLoss('DAMAGED', 'damaged', { cause: new Error('ECONNREFUSED') })],
  ])('is logged as %s, with its cause, where the store failed', async (level, thrown) => {
    await using kit = await startKit({
      append: async () => {
        throw thrown;
      },
    });
    using client = new KitClient(kit.server.address);
    const error = await failure(client.append(APPEND));
    expect(error).toMatchObject({ reason: thrown.reason, message: thrown.message, metadata: {} });
    const line = kit.logged.find(({ reason, fault }) => reason === thrown.reason && fault);
    expect(line).toMatchObject({
      level: pino.levels.values[level],
      fault: { message: thrown.message, cause: { message: 'ECONNREFUSED' } },
    });
  });

  test('however long, fits its trailers', async () => {
    await using kit = await startKit({
      append: async () => {
        throw invalidArgument('INVALID_FIELD', 'f\ud800'.repeat(9_000), '\u{1f600}'.repeat(9_000));
      },
    });
    using client = new KitClient(kit.server.address);
    expect(await failure(client.append(APPEND))).toMatchObject({ reason: 'INVALID_FIELD' });
  });
});

describe('a request that is no message', () => {
  test.each([
    ['invalid UTF-8', INVALID_UTF8],
    ['bytes cut off', CUT_OFF],
  ])('%s: is refused in every kind of call', async (_, bytes) => {
    await using kit = await startKit({
      async *import(requests) {
        for await (const _ of requests) yield create(ImportResponseSchema);
      },
    });
    using client = new KitClient(kit.server.address);
    const malformed = { code: status.INVALID_ARGUMENT, reason: 'MALFORMED' };
    expect(await failure(client.append(bytes))).toMatchObject(malformed);
    expect(await failure(collect(client.sync(bytes)))).toMatchObject(malformed);
    const call = client.import();
    call.write(bytes);
    expect(await failure(collect(call))).toMatchObject(malformed);
    await kit.idle();
  });

  test('an empty one is a message', async () => {
    await using kit = await startKit({});
    using client = new KitClient(kit.server.address);
    expect(await client.append(Buffer.alloc(0))).toEqual(create(AppendResponseSchema));
  });
});

describe('a request that would cost too much', () => {
  const counted = async (requests: AsyncIterable<unknown>) => {
    let count = 0;
    for await (const _ of requests) count++;
    return count;
  };

  test('is refused for its bytes, in every kind of call', async () => {
    await using kit = await startKit({
      async *import(requests) {
        yield create(ImportResponseSchema, { added: await counted(requests) });
      },
    });
    using client = new KitClient(kit.server.address);
    const tooLarge = (limit: number) => ({
      code: status.INVALID_ARGUMENT,
      reason: 'TOO_LARGE',
      metadata: { limit_bytes: String(limit) },
    });
    const { append, sync, import: batch } = REQUEST_BYTES;
    const named = (bytes: number) => bytesOf(AppendRequestSchema, { user: 'a'.repeat(bytes) });
    await client.append(named(append - 4));
    await collect(client.sync(named(sync - 4)));
    expect(await failure(client.append(named(append)))).toMatchObject(tooLarge(append));
    expect(await failure(collect(client.sync(named(sync))))).toMatchObject(tooLarge(sync));
    const call = client.import();
    call.write(Buffer.alloc(batch + 1));
    expect(await failure(collect(call))).toMatchObject(tooLarge(batch));
    await kit.idle();
  });

  test.each([
    ['empty messages', [0x22, 0]],
    ['one field again and again', [0x0a, 0]],
    ['fields that nobody knows', [0x78, 0]],
  ])('is refused for its number of fields: %s', async (_, field) => {
    await using kit = await startKit({
      async *import(requests) {
        yield create(ImportResponseSchema, { added: await counted(requests) });
      },
    });
    using client = new KitClient(kit.server.address);
    const tooLarge = {
      code: status.INVALID_ARGUMENT,
      reason: 'TOO_LARGE',
      metadata: { limit_fields: String(MAX_REQUEST_FIELDS) },
    };
    const many = Buffer.alloc(MAX_REQUEST_FIELDS * 2, Buffer.from(field));
    await client.append(many);
    const tooMany = Buffer.concat([many, Buffer.from(field)]);
    expect(await failure(client.append(tooMany))).toMatchObject(tooLarge);
    // The same within one run of a batch: the run itself is a field as well.
    const call = client.import();
    const length = new BinaryWriter().uint32(many.length).finish();
    call.write(Buffer.concat([Buffer.from([0x0a]), length, many]));
    expect(await failure(collect(call))).toMatchObject(tooLarge);
  });
});

test('a request over the limit is RESOURCE_EXHAUSTED and leaves nothing behind', async () => {
  let ended = false;
  await using kit = await startKit(
    {
      async *import(requests) {
        try {
          for await (const _ of requests) yield create(ImportResponseSchema);
        } finally {
          ended = true;
        }
      },
    },
    { limits: { maxRequestBytes: 1_000 } },
  );
  using client = new KitClient(kit.server.address);
  const exhausted = { code: status.RESOURCE_EXHAUSTED, reason: 'RESOURCE_EXHAUSTED' };
  const large = bytesOf(AppendRequestSchema, { user: 'a'.repeat(1_000) });
  expect(await failure(client.append(large))).toMatchObject(exhausted);
  const call = client.import();
  call.write(IMPORT);
  call.write(large);
  expect(await failure(collect(call))).toMatchObject(exhausted);
  await kit.idle();
  expect(ended).toBe(true);
});

test('a call beyond the limit of calls in flight is refused', async () => {
  const { promise: release, resolve } = Promise.withResolvers<void>();
  await using kit = await startKit(
    {
      append: async () => {
        await release;
        return create(AppendResponseSchema);
      },
    },
    { limits: { maxCalls: 1 } },
  );
  using client = new KitClient(kit.server.address);
  const first = client.append(APPEND);
  const refused = await failure(Promise.race([first, client.append(APPEND)]));
  expect(refused).toMatchObject({ code: status.RESOURCE_EXHAUSTED, reason: 'TOO_MANY_CALLS' });
  resolve();
  await first;
  await client.append(APPEND);
});
