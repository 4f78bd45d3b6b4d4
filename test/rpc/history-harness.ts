import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { CallOptions } from '@grpc/grpc-js';
import { expect, inject } from 'vitest';
import {
  AppendRequestSchema,
  type AppendResponse,
  ImportRequestSchema,
  type ImportResponse,
  SyncRequestSchema,
  type SyncResponse,
} from '../../clients/gen/backscroll/history/v1/history_pb.ts';
import { type Message, MessageSchema } from '../../clients/gen/backscroll/history/v1/message_pb.ts';
import type { RunningServer } from '../../services/common/server.ts';
import { readHistoryConfig } from '../../services/history/config.ts';
import { HistoryContext } from '../../services/history/context.ts';
import { startHistory } from '../../services/history/service.ts';
import { freshDatabase } from '../support/databases.ts';
import { eventually } from '../support/eventually.ts';
import { bytesOf, collect, KitClient } from './kit-harness.ts';

/** A running history service, a client of it, and the context of another replica over its database. */
export class HistoryHarness implements AsyncDisposable {
  readonly server: RunningServer;
  readonly client: KitClient;
  readonly replica: HistoryContext;
  readonly #stack: AsyncDisposableStack;

  private constructor(server: RunningServer, replica: HistoryContext, stack: AsyncDisposableStack) {
    this.server = server;
    this.replica = replica;
    this.client = stack.use(new KitClient(server.address));
    this.#stack = stack;
  }

  static async start(engine: 'sqlite' | 'mysql'): Promise<HistoryHarness> {
    await using stack = new AsyncDisposableStack();
    const url = await databaseUrl(engine, stack);
    const replica = stack.use(new HistoryContext(url, Date.now));
    await replica.migrate();
    const config = readHistoryConfig({
      HISTORY_DATABASE_URL: url,
      HISTORY_LISTEN: '127.0.0.1:0',
      HISTORY_METRICS_LISTEN: '127.0.0.1:0',
      LOG_LEVEL: 'silent',
    });
    const server = await startHistory(config);
    stack.defer(() => server.stop(0));
    return new HistoryHarness(server, replica, stack.move());
  }

  append(request: MessageInitShape<typeof AppendRequestSchema>): Promise<AppendResponse> {
    return this.client.append(bytesOf(AppendRequestSchema, request));
  }

  sync(request: MessageInitShape<typeof SyncRequestSchema>, options?: CallOptions) {
    return this.client.sync(bytesOf(SyncRequestSchema, request), options);
  }

  /** All frames of a page. */
  frames(request: MessageInitShape<typeof SyncRequestSchema>): Promise<SyncResponse[]> {
    return collect<SyncResponse>(this.sync(request));
  }

  /** Sends all batches and then ends the stream; resolves to the answers. */
  async import(...batches: MessageInitShape<typeof ImportRequestSchema>[]) {
    const call = this.client.import();
    for (const batch of batches) call.write(bytesOf(ImportRequestSchema, batch));
    call.end();
    return collect<ImportResponse>(call);
  }

  /** Fills a group with messages of about 1 KiB. */
  async fill(group: string, count: number): Promise<void> {
    const text = 'x'.repeat(1_000);
    const messages: Message[] = Array.from({ length: count }, (_, n) =>
      create(MessageSchema, { id: `${n}`, sender: 'alice', content: { text } }),
    );
    const batches = [];
    for (let n = 0; n < count; n += 1_000) {
      const conversation = { case: 'group', value: group } as const;
      batches.push({ runs: [{ conversation, messages: messages.slice(n, n + 1_000) }] });
    }
    await this.import(...batches);
  }

  /** Waits until no call is in flight, and none holds a connection to the database. */
  async holdsNothing(): Promise<void> {
    await eventually(async () => {
      expect(await this.metric('grpc_server_in_flight')).toBe(0);
      expect(await this.metric('history_store_connections_in_use')).toBe(0);
    });
  }

  /** Sum of a metric over all its labels, as Prometheus reads it. */
  async metric(name: string): Promise<number> {
    const text = await (await fetch(`http://${this.server.metricsAddress}/metrics`)).text();
    const values = [...text.matchAll(new RegExp(`^${name}(?:{.*})? (\\S+)$`, 'gm'))];
    expect(values, name).not.toHaveLength(0);
    return values.reduce((sum, [, value]) => sum + Number(value), 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

async function databaseUrl(
  engine: 'sqlite' | 'mysql',
  stack: AsyncDisposableStack,
): Promise<string> {
  if (engine === 'mysql') return stack.use(await freshDatabase(inject('mysqlUrl'))).url;
  const folder = stack.use(await mkdtempDisposable(join(tmpdir(), 'history-')));
  return `sqlite:${join(folder.path, 'history.db')}`;
}
