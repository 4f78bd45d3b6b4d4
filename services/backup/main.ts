import { runMain } from '../common/run-main.ts';
import { readBackupConfig } from './config.ts';
import { startBackup } from './service.ts';

await runMain((env) => startBackup(readBackupConfig(env)));
