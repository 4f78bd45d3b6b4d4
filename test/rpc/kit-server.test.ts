import { create } from '@bufbuild/protobuf';
import { Client, credentials, status } from '@grpc/grpc-js';
import { service as healthDefinition } from 'grpc-health-check';
import { describe, expect, test } from 'vitest';
import {
  AppendRequestSchema,
  AppendResponseSchema,
  HistoryService,
} from '../../clients/gen/backscroll/history/v1/history_pb.ts';
import { eventually } from '../support/eventually.ts';
import { bytesOf, collect, KitClient, startKit } from './kit-harness.ts';

const APPEND = bytesOf(AppendRequestSchema, { user: 'alice' });

/** Watches health, as an orchestrator does, and never stops by itself. */
class HealthWatch implements Disposable {
  readonly statuses: string[] = [];
  /** Resolves to the error that the watch ended in. */
  readonly ended: Promise<unknown>;
  readonly #client: Client;

  constructor(address: string, service: string) {
    this.#client = new Client(address, credentials.createInsecure());
    const method = healthDefinition.Watch!;
    const call = this.#client.makeServerStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      { service },
    );
    call.on('data', (answer: { status: string }) => this.statuses.push(answer.status));
    this.ended = new Promise((resolve) => call.on('error', resolve));
  }

  async sees(statuses: string[]): Promise<void> {
    await eventually(() => expect(this.statuses).toEqual(statuses));
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}

/** A handler that answers once it is let go, or the signal fires. */
function slowAppend() {
  const begun = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  const append = async (_: unknown, { signal }: { signal: AbortSignal }) => {
    begun.resolve();
    const stopped = new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason));
    });
    await Promise.race([go.promise, stopped]);
    return create(AppendResponseSchema);
  };
  return { append, begun: begun.promise, letGo: () => go.resolve() };
}

describe('stopping', () => {
  test('lets calls in flight finish, ends watches, and refuses new calls', async () => {
    const slow = slowAppend();
    await using kit = await startKit({ append: slow.append });
    using client = new KitClient(kit.server.address);
    using watch = new HealthWatch(kit.server.address, HistoryService.typeName);
    await watch.sees(['SERVING']);
    const answer = client.append(APPEND);
    await slow.begun;

    const stopped = kit.server.stop(60_000);
    await watch.sees(['SERVING', 'NOT_SERVING']);
    expect(await watch.ended).toMatchObject({ code: status.UNAVAILABLE });
    slow.letGo();
    await answer;
    await stopped;
    await expect(client.append(APPEND)).rejects.toMatchObject({ code: status.UNAVAILABLE });
  });

  test('ends calls that go on too long, and says why', async () => {
    const slow = slowAppend();
    await using kit = await startKit({ append: slow.append });
    using client = new KitClient(kit.server.address);
    const answer = client.append(APPEND, { deadline: Date.now() + 60_000 });
    const failed = expect(answer).rejects.toMatchObject({ code: status.UNAVAILABLE });
    await slow.begun;
    await kit.server.stop(0);
    await failed;
    const codes = kit.logged.filter(({ msg }) => msg === 'call ended');
    expect(codes).toMatchObject([{ reason: 'STOPPING' }]);
  });

  test('does not wait for ever for a handler that ignores its signal', async () => {
    const { promise: never } = Promise.withResolvers<never>();
    const begun = Promise.withResolvers<void>();
    await using kit = await startKit({
      append: () => {
        begun.resolve();
        return never;
      },
    });
    using client = new KitClient(kit.server.address);
    const failed = expect(client.append(APPEND)).rejects.toThrow();
    await begun.promise;
    await kit.server.stop(0);
    await failed;
  });
});

test('health follows the check', async () => {
  let fault: Error | undefined = new Error('the store is gone');
  await using kit = await startKit(
    {},
    {
      check: async () => {
        if (fault) throw fault;
      },
    },
  );
  using watch = new HealthWatch(kit.server.address, '');
  await watch.sees(['NOT_SERVING']);
  fault = undefined;
  await watch.sees(['NOT_SERVING', 'SERVING']);
  fault = new Error('the store is gone again');
  await watch.sees(['NOT_SERVING', 'SERVING', 'NOT_SERVING']);
});

test('metrics are served over HTTP under the usual names', async () => {
  await using kit = await startKit({});
  using client = new KitClient(kit.server.address);
  await client.append(APPEND);
  await collect(client.sync(APPEND));
  const response = await fetch(`http://${kit.server.metricsAddress}/metrics`);
  const text = await response.text();
  for (const line of [
    'grpc_server_started_total{grpc_type="unary",grpc_service="backscroll.history.v1.HistoryService",grpc_method="Append"} 1',
    'grpc_server_handled_total{grpc_type="server_streaming",grpc_service="backscroll.history.v1.HistoryService",grpc_method="Sync",grpc_code="OK"} 1',
    'grpc_server_in_flight{grpc_type="bidi_streaming",grpc_service="backscroll.history.v1.HistoryService",grpc_method="Import"} 0',
    'grpc_server_msg_sent_total{grpc_type="server_streaming",grpc_service="backscroll.history.v1.HistoryService",grpc_method="Sync"} 1',
    'grpc_server_msg_received_total{grpc_type="unary",grpc_service="backscroll.history.v1.HistoryService",grpc_method="Append"} 1',
  ]) {
    expect(text.split('\n')).toContain(line);
  }
  expect(text).toContain('grpc_server_handling_seconds_bucket');
  expect(text).toContain('process_resident_memory_bytes');
  const elsewhere = await fetch(`http://${kit.server.metricsAddress}/`);
  expect(elsewhere.status).toBe(404);
});

test('a port that is taken is an error', async () => {
  await using kit = await startKit({});
  const [host = '', port] = kit.server.address.split(':');
  const taken = { listen: { host, port: Number(port) } };
  await expect(startKit({}, taken)).rejects.toThrow('EADDRINUSE');
});
