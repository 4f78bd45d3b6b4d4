import { HistoryService } from '../../clients/gen/backscroll/history/v1/history_pb.ts';
import type { Handlers } from '../common/call.ts';
import { createLogger } from '../common/logger.ts';
import { Metrics } from '../common/metrics.ts';
import { implement } from '../common/rpc.ts';
import { type RunningServer, startServer } from '../common/server.ts';
import { blame } from '../common/start-error.ts';
import type { HistoryConfig } from './config.ts';
import { HistoryContext } from './context.ts';
import { append } from './handlers/append.ts';
import { importBatches } from './handlers/import.ts';
import { sync } from './handlers/sync.ts';
import { REQUEST_BYTES } from './limits.ts';

/**
 * Starts the history service. An embedded database gets its schema here; with a server of its own
 * the service starts whatever state it is in, and its health tells whether it can work.
 *
 * @throws StartError when it can't listen, or can't open the embedded database
 */
export async function startHistory(config: HistoryConfig): Promise<RunningServer> {
  await using stack = new AsyncDisposableStack();
  const context = await blame('HISTORY_DATABASE_URL', async () => {
    const opened = stack.use(new HistoryContext(config.HISTORY_DATABASE_URL, Date.now));
    if (opened.embedded) await opened.migrate();
    return opened;
  });
  return await startServer({
    prefix: 'HISTORY',
    listen: config.HISTORY_LISTEN,
    metricsListen: config.HISTORY_METRICS_LISTEN,
    log: createLogger('history', config.LOG_LEVEL),
    implementations: [implementation(context)],
    check: (signal) => context.check(signal),
    metrics: metricsOf(context),
    holds: stack.move(),
  });
}

function implementation(context: HistoryContext) {
  const { store } = context;
  const handlers: Handlers<typeof HistoryService> = {
    sync: (request, call) => sync(store, request, call),
    append: (request, call) => append(context, request, call),
    import: (requests, call) => importBatches(store, requests, call),
  };
  return implement(HistoryService, handlers, REQUEST_BYTES);
}

function metricsOf({ store }: HistoryContext): Metrics {
  const metrics = new Metrics();
  metrics.gauge(
    'history_store_connections_in_use',
    'Connections to the database that calls hold.',
    () => store.connectionsInUse,
  );
  return metrics;
}
