import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Umzug } from 'umzug';

/** What migrations need of a database. Each engine supplies it. */
export interface MigrationEngine {
  /**
   * Waits until nobody else migrates this database, and keeps others waiting until disposed of. A
   * holder that dies lets go.
   */
  lock(): Promise<AsyncDisposable>;
  /** Runs one statement. */
  execute(statement: string): Promise<void>;
  /** Names of the migrations recorded; none where the table that holds them does not exist yet. */
  applied(): Promise<string[]>;
  /** Records a migration, after it was applied; makes the table that holds the names if need be. */
  record(name: string): Promise<void>;
}

/**
 * Applies, in the order of their names, the migrations in `folder` that were not applied yet, and
 * resolves to their names. Two processes may do so at once.
 *
 * A migration is a file `NNN-name.sql` of statements, each ended by `;` at the end of a line. MySQL
 * commits every change of a table by itself, so a migration that died half-way is run again from
 * its beginning: it holds one statement, or only such that may be repeated (`IF NOT EXISTS`).
 */
export async function migrate(engine: MigrationEngine, folder: string): Promise<string[]> {
  await using _lock = await engine.lock();
  const umzug = new Umzug({
    migrations: (await migrationNames(folder)).map((name) => ({
      name,
      up: () => apply(engine, join(folder, name)),
    })),
    storage: {
      executed: () => engine.applied(),
      logMigration: ({ name }) => engine.record(name),
      unlogMigration: () => Promise.reject(new Error('migrations only go forward')),
    },
    logger: undefined,
  });
  return (await umzug.up()).map(({ name }) => name);
}

/** Whether every migration in `folder` was applied. More may have been, by a newer release. */
export async function schemaIsCurrent(engine: MigrationEngine, folder: string): Promise<boolean> {
  const applied = new Set(await engine.applied());
  return (await migrationNames(folder)).every((name) => applied.has(name));
}

async function migrationNames(folder: string): Promise<string[]> {
  const names = await readdir(folder);
  return names.filter((name) => /^\d{3}-[\w-]+\.sql$/.test(name)).sort();
}

async function apply(engine: MigrationEngine, path: string): Promise<void> {
  const text = await readFile(path, 'utf8');
  for (const part of text.split(/;[ \t]*(?:\r?\n|$)/)) {
    const statement = part.trim();
    if (statement !== '') await engine.execute(statement);
  }
}
