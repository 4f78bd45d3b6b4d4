/** Brings the history database's schema up to date, and exits. Two may run at once. */
import process from 'node:process';
import { ConfigError } from '../common/config.ts';
import { createLogger } from '../common/logger.ts';
import { readHistoryConfig } from './config.ts';
import { HistoryContext } from './context.ts';

try {
  const config = readHistoryConfig(process.env);
  await using context = new HistoryContext(config.HISTORY_DATABASE_URL, Date.now);
  const applied = await context.migrate();
  createLogger('history', config.LOG_LEVEL).info({ applied }, 'schema is current');
} catch (error) {
  console.error(error instanceof ConfigError ? error.message : error);
  process.exitCode = 1;
}
