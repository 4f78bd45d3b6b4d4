import { existsSync } from 'node:fs';
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { run } from '../support/command.ts';
import { startService, type TestService } from '../support/processes.ts';

const used = new AsyncDisposableStack();
const bin = resolve('node_modules/.bin');
let project: string;
let history: TestService;
let backup: TestService;

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), 'backscroll-pack-'));
  used.defer(() => rm(project, { recursive: true, force: true }));
  const url = `sqlite:${join(project, 'history.db')}`;
  history = used.use(await startService('history', { HISTORY_DATABASE_URL: url }));
  const store = `file:${join(project, 'backups')}`;
  backup = used.use(await startService('backup', { BACKUP_STORE_URL: store }));
  await install();
}, 300_000);

afterAll(() => used.disposeAsync());

/** Packs the clients, and installs them in a project that has nothing else. */
async function install(): Promise<void> {
  const packed = await run('npm', ['pack', './clients', '--pack-destination', project]);
  const tarball = packed.trim().split('\n').at(-1) as string;
  await writeFile(join(project, 'package.json'), '{"private": true, "type": "module"}');
  const quietly = ['--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error'];
  await run('npm', ['install', ...quietly, `./${tarball}`], { cwd: project });
  await copyFile('test/rpc/pack-consumer.ts', join(project, 'consumer.ts'));
  const compilerOptions = {
    ...{ module: 'nodenext', target: 'es2022', strict: true },
    ...{ types: ['node'], typeRoots: [resolve('node_modules/@types')] },
  };
  const config = { compilerOptions, files: ['consumer.ts'] };
  await writeFile(join(project, 'tsconfig.json'), JSON.stringify(config));
  await run(join(bin, 'tsc'), ['-p', project]);
}

/** The Node of whoever runs the tests: the first on PATH that is not one of the project's own. */
function machinesNode(): string {
  const folders = (process.env.PATH ?? '').split(delimiter);
  const nodes = folders
    .filter((folder) => folder !== '' && !folder.includes('node_modules'))
    .map((folder) => join(folder, process.platform === 'win32' ? 'node.exe' : 'node'));
  const node = nodes.find((path) => existsSync(path));
  if (node === undefined) throw new Error("no Node on PATH besides the project's own: install one");
  return node;
}

it.each([
  ["the machine's own Node", machinesNode()],
  ["the project's Node", join(bin, 'node')],
])('the packed clients call both services on %s', async (_, node) => {
  const env = {
    ...process.env,
    HISTORY: history.address,
    BACKUP: backup.address,
    DATABASE: resolve('examples/app.db'),
    USER_NAME: `user of ${node === join(bin, 'node') ? 'ours' : 'theirs'}`,
  };
  const version = (await run(node, ['--version'])).replace('v', '');
  expect(await run(node, ['consumer.js'], { cwd: project, env })).toBe(`works on Node ${version}`);

  const command = join(project, 'node_modules/@backscroll/clients/dist/cli/main.js');
  const device = ['device', 'open', '--user', 'bob', '--database', join(project, `${version}.db`)];
  const opened = run(node, [command, ...device]);
  if (Number.parseInt(version, 10) >= 24) expect(await opened).toContain('of bob');
  else await expect(opened).rejects.toThrow('a device needs Node 24 or newer');
  const sync = ['sync', '--user', 'bob', '--peer', env.USER_NAME, '--history', history.address];
  expect(await run(node, [command, ...sync, '--count', '1'])).toMatch(/^2 \S+Z user of \w+: Bob$/);
});
