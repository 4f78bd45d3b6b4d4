import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { release } from '../../clients/format/memory.ts';
import { BackupService } from '../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import type { Handlers } from '../common/call.ts';
import { createLogger } from '../common/logger.ts';
import { Metrics } from '../common/metrics.ts';
import { implement } from '../common/rpc.ts';
import { type RunningServer, startServer } from '../common/server.ts';
import { blame } from '../common/start-error.ts';
import type { BackupConfig } from './config.ts';
import { createContext } from './context.ts';
import type { KeepPolicy } from './domain/kept/retention.ts';
import { Transfers } from './domain/transfers.ts';
import { backupAge } from './handlers/backup-age.ts';
import { deleteAllBackups } from './handlers/delete-all-backups.ts';
import { deleteBackup } from './handlers/delete-backup.ts';
import { downloadBackup } from './handlers/download-backup.ts';
import { getBackup } from './handlers/get-backup.ts';
import { getUsage } from './handlers/get-usage.ts';
import { listBackups } from './handlers/list-backups.ts';
import { pinBackup } from './handlers/pin-backup.ts';
import { UPLOAD_LIMITS, uploadBackup } from './handlers/upload-backup.ts';
import { verifyBackup } from './handlers/verify-backup.ts';
import { Keeper } from './keeper.ts';
import { MOST_TRANSFERS, REQUEST_BYTES, UPLOAD_WINDOW_BYTES } from './limits.ts';
import { quickCheckIn } from './quick-check.ts';
import type { BackupStore } from './store/store.ts';
import { Verifier } from './verifier.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/**
 * Starts the backup service. It also starts while its store is gone: health then says so.
 *
 * @throws StartError when it can't listen, or a folder can't be made
 */
export async function startBackup(config: BackupConfig): Promise<RunningServer> {
  await using stack = new AsyncDisposableStack();
  const { store } = await blame('BACKUP_STORE_URL', () => createContext(config));
  stack.use(store);
  const log = createLogger('backup', config.LOG_LEVEL);
  const transfers = new Transfers(MOST_TRANSFERS);
  const metrics = metricsOf(store, transfers);
  const folder = config.BACKUP_VERIFY_FOLDER || tmpdir();
  await blame('BACKUP_VERIFY_FOLDER', () => mkdir(folder, { recursive: true }));
  const verifier = stack.use(
    new Verifier({
      ...{ store, log, metrics, everyMs: config.BACKUP_VERIFY_DAYS * DAY_MS },
      check: quickCheckIn(folder),
    }),
  );
  const transferMs = config.BACKUP_TRANSFER_SECONDS * 1_000;
  const limits = { ...UPLOAD_LIMITS, transferMs, quotaBytes: config.BACKUP_QUOTA_BYTES };
  const handlers: Handlers<typeof BackupService> = {
    uploadBackup: (requests, call) =>
      transfers.run(uploadBackup(store, requests, { ...call, release }, verifier, limits)),
    downloadBackup: (request, call) =>
      transfers.run(downloadBackup(store, request, call, transferMs)),
    listBackups: (request, call) => listBackups(store, request, call),
    backupAge: (request, call) => backupAge(store, request, call),
    getBackup: (request, call) => getBackup(store, request, call),
    verifyBackup: (request, call) => verifyBackup(store, verifier, request, call),
    pinBackup: (request, call) => pinBackup(store, request, call),
    deleteBackup: (request, call) => deleteBackup(store, request, call),
    deleteAllBackups: (request, call) => deleteAllBackups(store, request, call),
    getUsage: (request, call) => getUsage(store, config.BACKUP_QUOTA_BYTES, request, call),
  };
  const keeping = { policy: policyOf(config), everyMs: config.BACKUP_SWEEP_SECONDS * 1_000 };
  stack.use(new Keeper({ store, ...keeping, transferMs, log, metrics }));
  return await startServer({
    prefix: 'BACKUP',
    listen: config.BACKUP_LISTEN,
    metricsListen: config.BACKUP_METRICS_LISTEN,
    log,
    implementations: [implement(BackupService, handlers, REQUEST_BYTES)],
    metrics,
    check: (signal) => store.check(signal),
    streamWindowBytes: UPLOAD_WINDOW_BYTES,
    holds: stack.move(),
  });
}

function policyOf(config: BackupConfig): KeepPolicy {
  return {
    last: config.BACKUP_KEEP_LAST,
    daily: config.BACKUP_KEEP_DAILY,
    weekly: config.BACKUP_KEEP_WEEKLY,
    monthly: config.BACKUP_KEEP_MONTHLY,
    floorMs: config.BACKUP_KEEP_FLOOR_HOURS * HOUR_MS,
  };
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
