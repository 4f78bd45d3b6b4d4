/** Brings the history database's schema up to date, and exits. Two may run at once. */
import process from 'node:process';
import { createLogger } from '../common/logger.ts';
import { report } from '../common/run-main.ts';
import { blame } from '../common/start-error.ts';
import { readHistoryConfig } from './config.ts';
import { HistoryContext } from './context.ts';

try {
  const config = readHistoryConfig(process.env);
  const applied = await blame('HISTORY_DATABASE_URL', async () => {
    await using context = new HistoryContext(config.HISTORY_DATABASE_URL, Date.now);
    return await context.migrate();
  });
  createLogger('history', config.LOG_LEVEL).info({ applied }, 'schema is current');
} catch (error) {
  process.exitCode = report(error);
}
