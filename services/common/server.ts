import type { Http2Server } from 'node:http2';
import { setDefaultHighWaterMark } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { logVerbosity, Server, ServerCredentials, setLogVerbosity } from '@grpc/grpc-js';
import { type Authenticate, trustEveryCaller } from './caller.ts';
import { formatAddress, type ListenAddress } from './config.ts';
import { Health, type HealthCheck } from './health.ts';
import { CallsInFlight } from './in-flight.ts';
import { CALL_LIMITS, type CallLimits, LIFE_LIMITS } from './limits.ts';
import type { Logger } from './logger.ts';
import { Metrics } from './metrics.ts';
import { serveMetrics } from './metrics-server.ts';
import { addReflection } from './reflection.ts';
import type { Implementation } from './rpc.ts';
import { blame, StartError } from './start-error.ts';

/** What a server is made of. */
export interface ServerParts {
  /** What its variables begin with: `HISTORY` of `HISTORY_LISTEN`. */
  readonly prefix: string;
  readonly listen: ListenAddress;
  readonly metricsListen: ListenAddress;
  readonly log: Logger;
  readonly implementations: readonly Implementation[];
  readonly check: HealthCheck;
  /** What the handlers work on: disposed of after the last call, or when the server can't start. */
  readonly holds?: AsyncDisposable;
  /** Where the service registered metrics of its own, if it has any. */
  readonly metrics?: Metrics;
  readonly authenticate?: Authenticate;
  readonly limits?: Partial<CallLimits>;
  /** Bytes of one stream's requests that may be under way: HTTP/2's 64 KiB unless told otherwise. */
  readonly streamWindowBytes?: number;
}

/** A server that listens. Disposing of it is `stop()`. */
export interface RunningServer extends AsyncDisposable {
  /** `host:port` of the gRPC listener, with the port that the system chose. */
  readonly address: string;
  /** `host:port` of the metrics endpoint. */
  readonly metricsAddress: string;
  /**
   * Stops: health tells NOT_SERVING, new calls are refused, calls in flight go on for `graceMs`
   * milliseconds (8 s unless told otherwise), then end in UNAVAILABLE with the reason STOPPING.
   * Never throws, and may be called again.
   */
  stop(graceMs?: number): Promise<void>;
}

/**
 * Starts a gRPC server with health, reflection and metrics, and logs `listening` with its
 * addresses. It also starts while the check fails: health then says so.
 *
 * @throws StartError when it can't listen
 */
export async function startServer(parts: ServerParts): Promise<RunningServer> {
  const { log, implementations } = parts;
  const limits = { ...CALL_LIMITS, ...parts.limits };
  const metrics = parts.metrics ?? new Metrics();
  const authenticate = parts.authenticate ?? trustEveryCaller;
  const inFlight = new CallsInFlight(limits.maxCalls);
  // grpc-js makes the streams of calls itself, and gives no other handle on how far they read ahead.
  setDefaultHighWaterMark(true, limits.readAheadMessages);
  // It writes past the log, and what clients sent; its errors come back from its calls anyway.
  setLogVerbosity(logVerbosity.NONE);

  await using stack = new AsyncDisposableStack();
  stack.use(parts.holds);
  const server = new Server(serverOptions(limits));
  stack.defer(() => server.forceShutdown());
  for (const implementation of implementations) {
    const runtime = { log, metrics, inFlight, limits, authenticate };
    server.addService(implementation.definition, implementation.bind(runtime));
  }
  const services = implementations.map(({ desc }) => desc);
  addReflection(server, services);
  const names = services.map(({ typeName }) => typeName);
  const health = new Health(names, parts.check, log);
  health.addTo(server);
  stack.defer(() => health.stop());

  const metricsServer = await blame(`${parts.prefix}_METRICS_LISTEN`, () =>
    serveMetrics(metrics.registry, parts.metricsListen),
  );
  stack.use(metricsServer);
  await health.start();
  const address = await bind(server, `${parts.prefix}_LISTEN`, parts.listen);
  if (parts.streamWindowBytes) widen(server, parts.streamWindowBytes);
  log.info({ address, metrics: metricsServer.address }, 'listening');

  const resources = stack.move();
  let stopped: Promise<void> | undefined;
  const stop = (graceMs: number = LIFE_LIMITS.drainMs) => {
    stopped ??= drain(server, health, inFlight, graceMs).then(() => resources.disposeAsync());
    return stopped;
  };
  return {
    address,
    metricsAddress: metricsServer.address,
    stop,
    [Symbol.asyncDispose]: () => stop(),
  };
}

function serverOptions(limits: CallLimits) {
  return {
    'grpc.max_receive_message_length': limits.maxRequestBytes,
    'grpc.max_concurrent_streams': limits.maxStreamsPerConnection,
    'grpc.keepalive_time_ms': limits.keepaliveMs,
    'grpc.keepalive_timeout_ms': limits.keepaliveTimeoutMs,
  };
}

/** @throws StartError, which begins with `variable` */
function bind(server: Server, variable: string, listen: ListenAddress): Promise<string> {
  return new Promise((resolve, reject) => {
    server.bindAsync(formatAddress(listen), ServerCredentials.createInsecure(), (error, port) => {
      if (error) reject(new StartError(`${variable}: ${reasonOf(error)}`, { cause: error }));
      else resolve(formatAddress({ host: listen.host, port }));
    });
  });
}

/**
 * Lets each stream, and half as much again for all streams of a connection, have so many bytes of requests
 * under way: a client at a distance sends no more than that in a round trip. grpc-js has this for clients
 * alone, so that its HTTP/2 server must be taken out of it.
 */
function widen(server: Server, windowBytes: number): void {
  const listeners: Map<Http2Server, unknown> = Reflect.get(server, 'http2Servers');
  for (const listener of listeners.keys()) {
    listener.on('session', (session) => {
      session.settings({ initialWindowSize: windowBytes });
      session.setLocalWindowSize(windowBytes * 1.5);
    });
  }
}

/** grpc-js puts the system's words in brackets, behind words of its own. */
function reasonOf({ message }: Error): string {
  return /\[(.+)\]$/.exec(message)?.[1] ?? message;
}

async function drain(
  server: Server,
  health: Health,
  inFlight: CallsInFlight,
  graceMs: number,
): Promise<void> {
  health.stop();
  const closed = new Promise<void>((resolve) => {
    server.tryShutdown(() => resolve());
  });
  await Promise.race([closed, delay(graceMs, undefined, { ref: false })]);
  inFlight.stop();
  await Promise.race([
    Promise.all([closed, inFlight.idle()]),
    delay(LIFE_LIMITS.abortMs, undefined, { ref: false }),
  ]);
}
