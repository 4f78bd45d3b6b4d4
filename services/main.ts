import { readBackupConfig } from './backup/config.ts';
import { startBackup } from './backup/service.ts';
import { ConfigError } from './common/config.ts';
import { runMain } from './common/run-main.ts';
import { readHistoryConfig } from './history/config.ts';
import { startHistory } from './history/service.ts';

/** Both services in one process, for a first try and for development: `npm start`. */
await runMain(async (given) => {
  // What a person reads here is printed below; the log tells when something goes wrong.
  const env = given.LOG_LEVEL || given.LOG_LEVEL_FILE ? given : { ...given, LOG_LEVEL: 'warn' };
  const { historyConfig, backupConfig } = readBoth(env);
  await using stack = new AsyncDisposableStack();
  const history = stack.use(await startHistory(historyConfig));
  const backup = stack.use(await startBackup(backupConfig));
  const resources = stack.move();
  console.log(welcome(history.address, backup.address));
  return { stop: () => resources.disposeAsync() };
});

/** @throws ConfigError with the faults of both services at once */
function readBoth(env: NodeJS.ProcessEnv) {
  const faults: string[] = [];
  const attempt = <T>(read: (env: NodeJS.ProcessEnv) => T): T | undefined => {
    try {
      return read(env);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      faults.push(...error.faults);
      return undefined;
    }
  };
  const historyConfig = attempt(readHistoryConfig);
  const backupConfig = attempt(readBackupConfig);
  if (historyConfig && backupConfig) return { historyConfig, backupConfig };
  // What both read, such as LOG_LEVEL, is at fault once.
  throw new ConfigError([...new Set(faults)]);
}

/** Addresses, and four lines to paste: append a message, sync it back, upload a backup, ask its age. */
function welcome(history: string, backup: string): string {
  const historyOption = history === '127.0.0.1:50051' ? '' : ` --history ${history}`;
  const backupOption = backup === '127.0.0.1:50052' ? '' : ` --backup ${backup}`;
  return `
Backscroll is up.
  history  ${history}
  backup   ${backup}

Try it from another terminal, in this folder:
  npx backscroll${historyOption} append --user alice --peer bob "Hello, Bob"
  grpcurl -plaintext -d '{"user":"bob","peer":"alice"}' ${history} backscroll.history.v1.HistoryService/Sync
  npx backscroll${backupOption} backup upload examples/app.db --user alice
  grpcurl -plaintext -d '{"user":"alice"}' ${backup} backscroll.backup.v1.BackupService/BackupAge

Ctrl-C stops it; the data stay.
`;
}
