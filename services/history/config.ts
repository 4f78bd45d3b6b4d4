import { statSync } from 'node:fs';
import { z } from 'zod';
import { type Config, listenSetting, readConfig, wholeNumber } from '../common/config.ts';

const SETTINGS = {
  HISTORY_LISTEN: listenSetting('127.0.0.1:50051'),
  HISTORY_METRICS_LISTEN: listenSetting('127.0.0.1:9464'),
  HISTORY_DATABASE_URL: z
    .string()
    .default('sqlite:./data/history.db')
    .superRefine((url, context) => {
      const message = databaseFault(url);
      if (message !== undefined) context.addIssue({ code: 'custom', message });
    }),
  HISTORY_RETENTION_DAYS: wholeNumber(0, 0, 36_500),
  HISTORY_CHANGES_DAYS: wholeNumber(90, 1, 36_500),
  HISTORY_SWEEP_SECONDS: wholeNumber(60, 1, 86_400),
};

/** The configuration of the history service. */
export type HistoryConfig = Config<typeof SETTINGS>;

/** Reads the configuration from environment variables. @throws ConfigError with all faults at once */
export function readHistoryConfig(env: NodeJS.ProcessEnv): HistoryConfig {
  return readConfig(SETTINGS, env);
}

function databaseFault(text: string): string | undefined {
  if (/^sqlite:./.test(text)) {
    const isFolder = isDirectory(text.slice('sqlite:'.length));
    return isFolder ? 'names a folder: must be sqlite:PATH with the path of a file' : undefined;
  }
  const url = URL.parse(text);
  if (url?.protocol !== 'mysql:' || url.hostname === '' || url.pathname.length < 2) {
    return 'must be sqlite:PATH or mysql://USER:PASSWORD@HOST:PORT/DATABASE, %-escaped';
  }
  // The driver would take its options from there, also such that print passwords.
  if (url.search !== '' || url.hash !== '')
    return 'must end with the database: escape ? as %3F, # as %23';
  try {
    decodeURIComponent(`${url.username}${url.password}${url.hostname}${url.pathname}`);
  } catch {
    return 'has a % that escapes nothing: escape it as %25';
  }
  return undefined;
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false; // absent, or out of reach: opening it tells
  }
}
