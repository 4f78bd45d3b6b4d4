import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run, works } from './command.ts';
import { Progress } from './progress.ts';

const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** Whether Debian's packages can be had and run here: x86-64 Linux with apt and a Debian mirror. */
export async function aptWorks(): Promise<boolean> {
  if (process.platform !== 'linux' || process.arch !== 'x64' || !existsSync(keyring)) return false;
  return (await works('apt-get', '--version')) && (await debianMirror()) !== undefined;
}

/**
 * Downloads a package of Debian's development release with all it needs, and unpacks them into
 * `folder/root`. Nothing is installed, the machine's own apt is not touched, and no root is needed.
 */
export async function unpackDebian(packageName: string, folder: string): Promise<string> {
  const state = join(folder, 'apt');
  const archives = join(state, 'archives');
  const root = join(folder, 'root');
  for (const path of [join(state, 'lists', 'partial'), join(archives, 'partial'), root]) {
    mkdirSync(path, { recursive: true });
  }
  writeFileSync(join(state, 'status'), '');
  writeFileSync(
    join(state, 'sources.list'),
    `deb [signed-by=${keyring}] ${await debianMirror()} sid main\n`,
  );
  {
    using progress = new Progress('reading the list of Debian packages');
    await apt(state, ['update'], progress);
  }
  {
    using progress = new Progress(`downloading ${packageName} and what it needs`);
    const install = ['install', '--download-only', '--no-install-recommends', packageName];
    await apt(state, install, progress);
  }
  using progress = new Progress(`unpacking ${packageName}`);
  const debs = readdirSync(archives).filter((file) => file.endsWith('.deb'));
  for (const [done, deb] of debs.entries()) {
    await run('dpkg', ['-x', join(archives, deb), root]);
    progress.update(`${Math.round((100 * (done + 1)) / debs.length)} %`);
  }
  rmSync(state, { recursive: true });
  return root;
}

/** Runs apt-get on a state of its own, in which no package is installed. */
async function apt(state: string, args: readonly string[], progress: Progress): Promise<void> {
  const settings = {
    'Dir::Etc::sourcelist': join(state, 'sources.list'),
    'Dir::Etc::sourceparts': '/dev/null',
    'Dir::State::lists': join(state, 'lists'),
    'Dir::State::status': join(state, 'status'),
    'Dir::Cache': state,
    'Dir::Cache::archives': join(state, 'archives'),
    'APT::Sandbox::User': '',
    'APT::Status-Fd': '1',
    'Acquire::Retries': '3',
    'Debug::NoLocking': '1',
  };
  const options = Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  await run('apt-get', ['--yes', ...options, ...args], {
    env: { ...process.env, LC_ALL: 'C' },
    onLine: (line) => {
      const percent = /^dlstatus:\d+:([\d.]+)/.exec(line)?.[1];
      if (percent) progress.update(`${Math.round(Number(percent))} %`);
    },
  });
}

/** The Debian mirror among the sources that apt is set up with; undefined where there is none. */
async function debianMirror(): Promise<string | undefined> {
  // With no lists read yet, apt names all that it would fetch.
  const uris = await run('apt-get', [
    'update',
    '--print-uris',
    '-o',
    'Dir::State::lists=/dev/null',
  ]);
  return /^'(\S+\/debian)\/*\/dists\//m.exec(uris)?.[1];
}
