import { BackupService } from '../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import type { Handlers } from '../common/call.ts';
import { createLogger } from '../common/logger.ts';
import { Metrics } from '../common/metrics.ts';
import { implement } from '../common/rpc.ts';
import { type RunningServer, startServer } from '../common/server.ts';
import { blame } from '../common/start-error.ts';
import type { BackupConfig } from './config.ts';
import { createContext } from './context.ts';
import { Transfers } from './domain/transfers.ts';
import { backupAge } from './handlers/backup-age.ts';
import { downloadBackup } from './handlers/download-backup.ts';
import { getBackup } from './handlers/get-backup.ts';
import { listBackups } from './handlers/list-backups.ts';
import { uploadBackup } from './handlers/upload-backup.ts';
import { MOST_TRANSFERS, REQUEST_BYTES } from './limits.ts';
import type { BackupStore } from './store/store.ts';

/**
 * Starts the backup service. It also starts while its store is gone: health then says so.
 *
 * @throws StartError when it can't listen, or its folder can't be made
 */
export async function startBackup(config: BackupConfig): Promise<RunningServer> {
  const { store } = await blame('BACKUP_STORE_URL', () => createContext(config));
  const transfers = new Transfers(MOST_TRANSFERS);
  const handlers: Handlers<typeof BackupService> = {
    uploadBackup: (requests, call) => transfers.run(uploadBackup(store, requests, call)),
    downloadBackup: (request, call) => transfers.run(downloadBackup(store, request, call)),
    listBackups: (request, call) => listBackups(store, request, call),
    backupAge: (request, call) => backupAge(store, request, call),
    getBackup: (request, call) => getBackup(store, request, call),
    verifyBackup: unserved,
    pinBackup: unserved,
    deleteBackup: unserved,
    deleteAllBackups: unserved,
    getUsage: unserved,
  };
  return await startServer({
    prefix: 'BACKUP',
    listen: config.BACKUP_LISTEN,
    metricsListen: config.BACKUP_METRICS_LISTEN,
    log: createLogger('backup', config.LOG_LEVEL),
    implementations: [implement(BackupService, handlers, REQUEST_BYTES)],
    metrics: metricsOf(store, transfers),
    check: (signal) => store.check(signal),
    holds: store,
  });
}

function unserved(): Promise<never> {
  return Promise.reject(new Error('not served yet'));
}

function metricsOf(store: BackupStore, transfers: Transfers): Metrics {
  const metrics = new Metrics();
  metrics.gauge(
    'backup_store_requests_in_flight',
    'Requests to the store that have not ended.',
    () => store.requestsInFlight,
  );
  metrics.gauge(
    'backup_transfers_in_flight',
    'Uploads and downloads that have not ended.',
    () => transfers.inFlight,
  );
  return metrics;
}
