import { existsSync, globSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout } from 'node:timers/promises';
import { Progress } from './progress.ts';

/** The folder for what the tests download and build once: BACKSCROLL_CACHE, or the user's cache. */
function cacheFolder(): string {
  const user = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  return resolve(process.env.BACKSCROLL_CACHE || join(user, 'backscroll'));
}

/**
 * A folder in the cache, made by `make` where it is not there yet. It appears whole or not at all:
 * `make` fills a folder of another name, which an interrupted run leaves for the next one to remove.
 * Of several processes that want it one makes it, and the others wait.
 */
export async function cached(
  name: string,
  make: (folder: string) => Promise<void>,
): Promise<string> {
  const folder = join(cacheFolder(), name);
  if (existsSync(folder)) return folder;
  mkdirSync(cacheFolder(), { recursive: true });
  using _lock = await lock(name);
  if (existsSync(folder)) return folder;
  for (const left of globSync(`${name}.partial-*`, { cwd: cacheFolder() })) {
    rmSync(join(cacheFolder(), left), { recursive: true, force: true });
  }
  const partial = mkdtempSync(`${folder}.partial-`);
  try {
    await make(partial);
    renameSync(partial, folder);
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
  return folder;
}

/** SQLite's lock is the one that the platform offers which goes when its holder dies. */
async function lock(name: string): Promise<Disposable> {
  const file = join(cacheFolder(), `${name}.lock`);
  using waiting = new DisposableStack();
  let progress: Progress | undefined;
  for (;;) {
    const database = new DatabaseSync(file);
    try {
      database.exec('BEGIN EXCLUSIVE');
      return { [Symbol.dispose]: () => database.close() };
    } catch (error) {
      database.close();
      const busy = error instanceof Error && 'errcode' in error && error.errcode === 5;
      if (!busy) throw error;
    }
    progress ??= waiting.use(new Progress(`${name}: another run is at it`));
    progress.update('waiting');
    await setTimeout(250);
  }
}
