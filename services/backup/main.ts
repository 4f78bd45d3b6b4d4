import { createLogger } from '../common/logger.ts';
import { runMain } from '../common/run-main.ts';
import { readBackupConfig } from './config.ts';
import { startBackup } from './service.ts';

await runMain(async (env) => {
  const config = readBackupConfig(env);
  return startBackup(config, createLogger('backup', config.LOG_LEVEL));
});
