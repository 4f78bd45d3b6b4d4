import { runMain } from '../common/run-main.ts';
import { readHistoryConfig } from './config.ts';
import { startHistory } from './service.ts';

await runMain((env) => startHistory(readHistoryConfig(env)));
