/** Brings the history database's schema up to date, and exits. Two may run at once. */
import { createLogger } from '../common/logger.ts';
import { readHistoryConfig } from './config.ts';
import { HistoryContext } from './context.ts';

const config = readHistoryConfig(process.env);
await using context = new HistoryContext(config.HISTORY_DATABASE_URL, Date.now);
const applied = await context.migrate();
createLogger('history', config.LOG_LEVEL).info({ applied }, 'schema is current');
