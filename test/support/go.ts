import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cached } from './cache.ts';
import { run, works } from './command.ts';
import { Progress } from './progress.ts';

/** A program built from source. */
export interface GoProgram {
  readonly path: string;
  /** Version of its module, such as `v1.9.3` or `v0.0.0-20260212201848-7aac2a2c5b7c`. */
  readonly version: string;
}

/** Whether Go is there to build with. */
export function goWorks(): Promise<boolean> {
  return works('go', 'version');
}

/** Builds the newest version of a Go program into the cache, once. `note` says how long it takes. */
export async function goInstall(
  name: string,
  packagePath: string,
  note: string,
): Promise<GoProgram> {
  const folder = await cached(name, async (partial) => {
    using progress = new Progress(`building ${name} with Go (${note})`);
    let downloaded = 0;
    let compiled = 0;
    await run('go', ['install', '-v', `${packagePath}@latest`], {
      env: { ...process.env, GOBIN: partial },
      onLine: (line) => {
        if (line.startsWith('go: downloading')) downloaded += 1;
        else compiled += 1;
        progress.update(`${downloaded} modules downloaded, ${compiled} packages compiled`);
      },
    });
    const modules = await run('go', ['version', '-m', join(partial, name)]);
    const version = /^\s+mod\s+\S+\s+(\S+)/m.exec(modules)?.[1] ?? 'of unknown version';
    writeFileSync(join(partial, 'version'), version);
  });
  return { path: join(folder, name), version: readFileSync(join(folder, 'version'), 'utf8') };
}
