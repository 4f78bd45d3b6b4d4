import { DatabaseSync } from 'node:sqlite';
import { createConnection } from 'mysql2/promise';
import type { Victim } from './storm.ts';
import { ServiceVictim } from './victims.ts';

/** Starts replicas of a history service over one database, which sweep all the time. */
export async function launchReplicas(
  made: AsyncDisposableStack,
  url: string,
  count: number,
): Promise<ServiceVictim[]> {
  const env = { HISTORY_DATABASE_URL: url, HISTORY_SWEEP_SECONDS: '1' };
  const replicas: ServiceVictim[] = [];
  for (let n = 0; n < count; n++) {
    replicas.push(made.use(await ServiceVictim.launch('history', env)));
  }
  return replicas;
}

/** Every so many deaths last for months. */
const longDeaths = 3;

/** A log of changes this old is trimmed, in milliseconds. */
const monthsMs = 100 * 86_400_000;

/**
 * A replica that is dead for longer than it seems: for as long as its lease of the sweep lasts, and now
 * and then for months, after which the log of changes no longer reaches back.
 */
export function longDead(replica: ServiceVictim, url: string): Victim {
  let deaths = 0;
  return {
    name: replica.name,
    kill: () => replica.kill(),
    async start() {
      const statements = ['DELETE FROM lease'];
      if (++deaths % longDeaths === 0) {
        statements.push(`UPDATE change_log SET at_ms = at_ms - ${monthsMs}`);
      }
      await execute(url, statements);
      await replica.start();
    },
  };
}

async function execute(url: string, statements: readonly string[]): Promise<void> {
  if (url.startsWith('sqlite:')) {
    using database = new DatabaseSync(url.slice('sqlite:'.length));
    for (const statement of statements) database.exec(statement);
    return;
  }
  const connection = await createConnection(url);
  try {
    for (const statement of statements) await connection.query(statement);
  } finally {
    await connection.end();
  }
}
