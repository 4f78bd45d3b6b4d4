import { z } from 'zod';
import { type Config, listenSetting, readConfig } from '../common/config.ts';

const SETTINGS = {
  HISTORY_LISTEN: listenSetting('127.0.0.1:50051'),
  HISTORY_METRICS_LISTEN: listenSetting('127.0.0.1:9464'),
  HISTORY_DATABASE_URL: z
    .string()
    .default('sqlite:./data/history.db')
    .refine((url) => /^sqlite:./.test(url) || isMysqlUrl(url), {
      error: 'must be sqlite:PATH or mysql://USER:PASSWORD@HOST:PORT/DATABASE',
    }),
};

/** The configuration of the history service. */
export type HistoryConfig = Config<typeof SETTINGS>;

/** Reads the configuration from environment variables. @throws ConfigError with all faults at once */
export function readHistoryConfig(env: NodeJS.ProcessEnv): HistoryConfig {
  return readConfig(SETTINGS, env);
}

function isMysqlUrl(text: string): boolean {
  const url = URL.parse(text);
  return url?.protocol === 'mysql:' && url.hostname !== '' && url.pathname.length > 1;
}
