import { TestProcess } from './processes.ts';

/** Brings an empty history database up to the service's schema, by the one-shot command. */
export async function migrate(databaseUrl: string): Promise<void> {
  await using command = new TestProcess(['services/history/migrate.ts'], {
    HISTORY_DATABASE_URL: databaseUrl,
  });
  const { code } = await command.exited;
  if (code !== 0) {
    throw new Error(`migrate ended with ${code}:\n${command.stdout}${command.stderr}`);
  }
}
