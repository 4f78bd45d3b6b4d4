import { setFlagsFromString } from 'node:v8';

// As the service itself does, whose memory is measured.
setFlagsFromString('--heap-growing-percent=100');
setFlagsFromString('--semi-space-growth-factor=1');

const { runMain } = await import('../../../services/common/run-main.ts');
const { readBackupConfig } = await import('../../../services/backup/config.ts');
const { startBackup } = await import('../../../services/backup/service.ts');

/** Longest transfer of a service in a storm: less than may be set, so that it collects meanwhile. */
const transferSeconds = 6;

await runMain((env) =>
  startBackup({ ...readBackupConfig(env), BACKUP_TRANSFER_SECONDS: transferSeconds }),
);
