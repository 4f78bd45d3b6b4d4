import type { Readable } from 'node:stream';
import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  toBinary,
} from '@bufbuild/protobuf';
import {
  type CallOptions,
  type Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  Metadata,
} from '@grpc/grpc-js';
import { pino } from 'pino';
import { expect } from 'vitest';
import { openChannel } from '../../clients/channel.ts';
import { BackscrollError } from '../../clients/errors.ts';
import {
  type AppendResponse,
  AppendResponseSchema,
  HistoryService,
  type ImportResponse,
  ImportResponseSchema,
  type SyncResponse,
  SyncResponseSchema,
} from '../../clients/gen/backscroll/history/v1/history_pb.ts';
import type { Handlers } from '../../services/common/call.ts';
import type { ListenAddress } from '../../services/common/config.ts';
import type { HealthCheck } from '../../services/common/health.ts';
import type { CallLimits } from '../../services/common/limits.ts';
import { Metrics } from '../../services/common/metrics.ts';
import { implement } from '../../services/common/rpc.ts';
import { type RunningServer, startServer } from '../../services/common/server.ts';
import { eventually } from '../support/eventually.ts';
import { forEachMethod, uncalled } from './kit-methods.ts';

/** Handlers of the history service that a test stands in for. */
export type FakeHandlers = Partial<Handlers<typeof HistoryService>>;

/** What a test may set up otherwise. */
export interface KitOptions {
  limits?: Partial<CallLimits>;
  check?: HealthCheck;
  listen?: ListenAddress;
}

/** A server of the kit with fake handlers, its metrics, and the lines that it logged. */
export interface Kit extends AsyncDisposable {
  readonly server: RunningServer;
  readonly logged: Record<string, unknown>[];
  /** Sum of a metric over all its labels, or over those given. */
  metric(name: string, labels?: Record<string, string>): Promise<number>;
  /** Waits until a metric has at least this value. */
  metricReaches(name: string, value: number): Promise<void>;
  /** Waits until no handler holds anything. */
  idle(): Promise<void>;
}

const UNUSED: Handlers<typeof HistoryService> = {
  ...forEachMethod(uncalled),
  append: async () => create(AppendResponseSchema),
  async *sync() {
    yield create(SyncResponseSchema);
  },
  async *import() {
    yield create(ImportResponseSchema);
  },
};

/** Bytes of one request of each method. */
export const REQUEST_BYTES = {
  ...forEachMethod(1_000),
  ...{ sync: 16 << 10, append: 1 << 20, import: 3 << 20 },
};

/** Starts the kit's server on ports of the system's choice. */
export async function startKit(handlers: FakeHandlers, options: KitOptions = {}): Promise<Kit> {
  const logged: Record<string, unknown>[] = [];
  const log = pino({ level: 'debug' }, { write: (line: string) => logged.push(JSON.parse(line)) });
  const metrics = new Metrics();
  const anyPort = { host: '127.0.0.1', port: 0 };
  const server = await startServer({
    prefix: 'KIT',
    listen: options.listen ?? anyPort,
    metricsListen: anyPort,
    log,
    implementations: [implement(HistoryService, { ...UNUSED, ...handlers }, REQUEST_BYTES)],
    check: options.check ?? (async () => {}),
    metrics,
    limits: options.limits ?? {},
  });
  const metric = async (name: string, labels: Record<string, string> = {}) => {
    const values = (await metrics.registry.getSingleMetric(name)?.get())?.values ?? [];
    return values
      .filter((value) => Object.entries(labels).every(([key, want]) => value.labels[key] === want))
      .reduce((sum, { value }) => sum + value, 0);
  };
  return {
    server,
    logged,
    metric,
    metricReaches: (name, value) =>
      eventually(async () => expect(await metric(name)).toBeGreaterThanOrEqual(value)),
    idle: () => eventually(async () => expect(await metric('grpc_server_in_flight')).toBe(0)),
    [Symbol.asyncDispose]: () => server.stop(0),
  };
}

/** A request as bytes: a message, or what no sane client would send. */
export function bytesOf<D extends DescMessage>(desc: D, request: MessageInitShape<D>): Buffer {
  return Buffer.from(toBinary(desc, create(desc, request)));
}

/** A client that sends bytes as they are. */
export class KitClient implements Disposable {
  readonly #channel: Client;

  constructor(address: string) {
    this.#channel = openChannel(address);
  }

  /** @throws BackscrollError */
  append(
    request: Buffer,
    options: CallOptions = {},
    signal?: AbortSignal,
  ): Promise<AppendResponse> {
    return new Promise((resolve, reject) => {
      const call = this.#channel.makeUnaryRequest(
        '/backscroll.history.v1.HistoryService/Append',
        (bytes: Buffer) => bytes,
        (bytes: Buffer) => fromBinary(AppendResponseSchema, bytes),
        request,
        new Metadata(),
        options,
        (error, answer) => (answer ? resolve(answer) : reject(BackscrollError.from(error))),
      );
      signal?.addEventListener('abort', () => call.cancel());
    });
  }

  sync(request: Buffer, options: CallOptions = {}): ClientReadableStream<SyncResponse> {
    return this.#channel.makeServerStreamRequest(
      '/backscroll.history.v1.HistoryService/Sync',
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => fromBinary(SyncResponseSchema, bytes),
      request,
      new Metadata(),
      options,
    );
  }

  import(options: CallOptions = {}): ClientDuplexStream<Buffer, ImportResponse> {
    return this.#channel.makeBidiStreamRequest(
      '/backscroll.history.v1.HistoryService/Import',
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => fromBinary(ImportResponseSchema, bytes),
      new Metadata(),
      options,
    );
  }

  [Symbol.dispose](): void {
    this.#channel.close();
  }
}

/** All answers of a stream. @throws BackscrollError */
export async function collect<Answer>(stream: Readable): Promise<Answer[]> {
  try {
    return await stream.toArray();
  } catch (error) {
    throw BackscrollError.from(error);
  }
}
