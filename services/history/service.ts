import { DirectoryService } from '../../clients/gen/backscroll/history/v1/directory_pb.ts';
import { HistoryService } from '../../clients/gen/backscroll/history/v1/history_pb.ts';
import type { Handlers } from '../common/call.ts';
import { createLogger } from '../common/logger.ts';
import { Metrics } from '../common/metrics.ts';
import { type Implementation, implement } from '../common/rpc.ts';
import { type RunningServer, startServer } from '../common/server.ts';
import { blame } from '../common/start-error.ts';
import type { HistoryConfig } from './config.ts';
import { HistoryContext } from './context.ts';
import { addMembers } from './handlers/add-members.ts';
import { append } from './handlers/append.ts';
import { changes } from './handlers/changes.ts';
import { createGroup } from './handlers/create-group.ts';
import { deleteGroup } from './handlers/delete-group.ts';
import { deleteMessages } from './handlers/delete-messages.ts';
import { editMessage } from './handlers/edit-message.ts';
import { eraseUser } from './handlers/erase-user.ts';
import { getGroup } from './handlers/get-group.ts';
import { getProfiles } from './handlers/get-profiles.ts';
import { importBatches } from './handlers/import.ts';
import { listConversations } from './handlers/list-conversations.ts';
import { listMembers } from './handlers/list-members.ts';
import { markDelivered, markRead } from './handlers/marks.ts';
import { putProfiles } from './handlers/put-profiles.ts';
import { removeMembers } from './handlers/remove-members.ts';
import { setRole } from './handlers/set-role.ts';
import { sync } from './handlers/sync.ts';
import { updateGroup } from './handlers/update-group.ts';
import { CALLS, REQUEST_BYTES } from './limits.ts';
import { Sweeper } from './sweeper.ts';

const DAY_MS = 24 * 60 * 60 * 1_000;

/**
 * Starts the history service. An embedded database gets its schema here; with a server of its own
 * the service starts whatever state it is in, and its health tells whether it can work.
 *
 * @throws StartError when it can't listen, or can't open the embedded database
 */
export async function startHistory(config: HistoryConfig): Promise<RunningServer> {
  await using stack = new AsyncDisposableStack();
  const context = await blame('HISTORY_DATABASE_URL', async () => {
    const opened = stack.use(
      new HistoryContext(
        config.HISTORY_DATABASE_URL,
        Date.now,
        config.HISTORY_RETENTION_DAYS * DAY_MS,
      ),
    );
    if (opened.embedded) await opened.migrate();
    return opened;
  });
  const log = createLogger('history', config.LOG_LEVEL);
  const metrics = metricsOf(context);
  stack.use(
    new Sweeper({
      ...{ database: context.database, nowMs: context.nowMs, log, metrics },
      retentionMs: context.retentionMs,
      changesMs: config.HISTORY_CHANGES_DAYS * DAY_MS,
      everyMs: config.HISTORY_SWEEP_SECONDS * 1_000,
    }),
  );
  return await startServer({
    prefix: 'HISTORY',
    listen: config.HISTORY_LISTEN,
    metricsListen: config.HISTORY_METRICS_LISTEN,
    log,
    implementations: [history(context), directory(context)],
    limits: CALLS,
    check: (signal) => context.check(signal),
    metrics,
    holds: stack.move(),
  });
}

function history(context: HistoryContext): Implementation {
  const handlers: Handlers<typeof HistoryService> = {
    sync: (request, call) => sync(context, request, call),
    append: (request, call) => append(context, request, call),
    import: (requests, call) => importBatches(context, requests, call),
    editMessage: (request, call) => editMessage(context, request, call),
    deleteMessages: (request, call) => deleteMessages(context, request, call),
    changes: (request, call) => changes(context, request, call),
    markRead: (request, call) => markRead(context, request, call),
    markDelivered: (request, call) => markDelivered(context, request, call),
    listConversations: (request, call) => listConversations(context, request, call),
  };
  return implement(HistoryService, handlers, REQUEST_BYTES.history);
}

function directory(context: HistoryContext): Implementation {
  const handlers: Handlers<typeof DirectoryService> = {
    createGroup: (request, call) => createGroup(context, request, call),
    getGroup: (request, call) => getGroup(context, request, call),
    updateGroup: (request, call) => updateGroup(context, request, call),
    deleteGroup: (request, call) => deleteGroup(context, request, call),
    addMembers: (request, call) => addMembers(context, request, call),
    removeMembers: (request, call) => removeMembers(context, request, call),
    setRole: (request, call) => setRole(context, request, call),
    listMembers: (request, call) => listMembers(context, request, call),
    putProfiles: (request, call) => putProfiles(context, request, call),
    getProfiles: (request, call) => getProfiles(context, request, call),
    eraseUser: (request, call) => eraseUser(context, request, call),
  };
  return implement(DirectoryService, handlers, REQUEST_BYTES.directory);
}

function metricsOf({ database }: HistoryContext): Metrics {
  const metrics = new Metrics();
  metrics.gauge(
    'history_store_connections_in_use',
    'Connections to the database that calls hold.',
    () => database.connectionsInUse,
  );
  return metrics;
}
