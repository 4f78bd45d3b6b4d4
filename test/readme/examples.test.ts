import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { provideGrpcurl } from '../support/grpcurl.ts';
import { type Block, readmeBlocks } from './blocks.ts';

/**
 * Runs the examples of the README and then of the clients' README as they stand, in their order, in a
 * copy of the tree that has neither dependencies nor data, as a newcomer would: first the `start`
 * block, the others beside it.
 */
const root = fileURLToPath(new URL('../..', import.meta.url));
const blocks = ['README.md', 'clients/README.md'].flatMap(readmeBlocks);
const where = (block: Block) => `${block.file}:${block.line} ${block.text.trim().split('\n')[0]}`;

let home: string;
let environment: NodeJS.ProcessEnv;
let services: ChildProcess | undefined;
const substitutions: [string, string][] = [];

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'backscroll-readme-'));
  const listed = await output('git', ['ls-files', '-co', '--exclude-standard', '-z'], root);
  for (const file of listed.split('\0').filter(Boolean)) cpSync(join(root, file), join(home, file));
  const grpcurl = await provideGrpcurl();
  const path = (process.env.PATH ?? '')
    .split(delimiter)
    .filter((folder) => !folder.includes('node_modules'));
  environment = { ...process.env, PATH: [dirname(grpcurl), ...path].join(delimiter) };
  for (const name of Object.keys(environment)) {
    if (/^(npm_|VITEST|NODE_ENV|NODE_OPTIONS|BACKSCROLL_)/.test(name)) delete environment[name];
  }
  await choosePorts();
});

afterAll(async () => {
  if (services?.pid && services.exitCode === null) {
    const closed = once(services, 'close');
    process.kill(-services.pid, 'SIGINT');
    await closed;
  }
  rmSync(home, { recursive: true, force: true });
});

describe('a newcomer', () => {
  it.each(blocks.map((block) => [where(block), block] as const))('runs %s', async (_, block) => {
    const kind = [block.language, block.role].filter(Boolean).join(' ');
    const run = runners[kind];
    if (!run) throw new Error(`${where(block)}: no way to run a block of the kind "${kind}"`);
    await run(block);
  });
});

/** How each kind of block is run; a kind that is not here fails. */
const runners: Record<string, (block: Block) => Promise<void>> = {
  'sh start': start,
  sh: async (block) => {
    await output('bash', ['-euo', 'pipefail', '-c', substituted(block.text)], home);
  },
  ts: typescript,
  // This very suite.
  'sh test': async (block) => expect(block.text).toBe('npm ci && npm test\n'),
  // Needs Docker: `npm run test:compose` runs it.
  'sh compose': async (block) => expect(block.text).toBe('docker compose up --build --wait\n'),
};

async function start(block: Block): Promise<void> {
  services = spawn('bash', ['-c', substituted(block.text)], {
    cwd: home,
    env: environment,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let printed = '';
  await new Promise<void>((resolve, reject) => {
    const read = (chunk: Buffer) => {
      printed += chunk;
      // The last of the lines to paste: everything listens by then.
      if (printed.includes('BackupAge') || printed.includes('backup age')) resolve();
    };
    services?.stdout?.on('data', read);
    services?.stderr?.on('data', read);
    services?.once('exit', (code) => reject(new Error(`ended with ${code}: ${printed}`)));
  });
}

async function typescript(block: Block): Promise<void> {
  await installClients();
  const file = `${block.file.replace('/', '-')}-line-${block.line}.ts`;
  writeFileSync(join(home, file), substituted(block.text));
  const config = { extends: './tsconfig.json', include: [file] };
  writeFileSync(join(home, 'tsconfig.readme.json'), JSON.stringify(config));
  await output('npx', ['tsc', '-p', 'tsconfig.readme.json'], home);
  const node = join(home, 'node_modules/.bin/node');
  // Whoever tries an example pastes it again.
  for (const _ of ['first', 'again']) await output(node, [file], home);
}

let installed: Promise<unknown> | undefined;
/** Packs the clients and installs the tarball, as the README tells. */
function installClients(): Promise<unknown> {
  installed ??= output('npm', ['pack', './clients'], home).then((packed) =>
    output('npm', ['install', '--no-save', `./${packed.trim().split('\n').at(-1)}`], home),
  );
  return installed;
}

/** The examples name the default ports; where those are taken, others are put in their place. */
async function choosePorts(): Promise<void> {
  const ports = { HISTORY_LISTEN: 50051, BACKUP_LISTEN: 50052 };
  const metrics = { HISTORY_METRICS_LISTEN: 9464, BACKUP_METRICS_LISTEN: 9465 };
  for (const [name, port] of Object.entries({ ...ports, ...metrics })) {
    if ((await tryPort(port)) === port) continue;
    const other = await tryPort(0);
    console.log(`port ${port} is taken: the examples run with ${other} in its place`);
    environment[name] = `127.0.0.1:${other}`;
    substitutions.push([`localhost:${port}`, `localhost:${other}`]);
    if (name === 'HISTORY_LISTEN') environment.BACKSCROLL_HISTORY = `localhost:${other}`;
    if (name === 'BACKUP_LISTEN') environment.BACKSCROLL_BACKUP = `localhost:${other}`;
  }
}

/** The port if it is free (0: any free one), else undefined. */
async function tryPort(port: number): Promise<number | undefined> {
  const server = createServer().listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
    return (server.address() as { port: number }).port;
  } catch {
    return undefined;
  } finally {
    server.close();
  }
}

function substituted(text: string): string {
  return substitutions.reduce((result, [from, to]) => result.replaceAll(from, to), text);
}

/** What a command prints; an error with all of it where the command fails. */
async function output(command: string, args: string[], cwd: string): Promise<string> {
  const child = spawn(command, args, {
    cwd,
    env: environment ?? process.env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => (stdout += chunk));
  child.stderr.on('data', (chunk) => (stderr += chunk));
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${command} ended with ${code}\n${stdout}\n${stderr}`);
  return stdout;
}
