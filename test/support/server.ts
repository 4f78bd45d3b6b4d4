import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Guarded } from './guard.ts';

/** A server under our hand, as a process or a container. It says nothing about being ready. */
export interface Server extends AsyncDisposable {
  /** Starts it, again if need be, on the same port and data. */
  start(): Promise<void>;
  /** SIGKILL; resolves when it is dead. Its data stays. */
  kill(): Promise<void>;
  /** Why it runs no more, with the last that it said; undefined as long as it runs. */
  died(): Promise<string | undefined>;
}

/** A server that was set up and not yet started, and the URL where it will answer. */
export interface Prepared {
  readonly server: Server;
  readonly url: string;
}

/** How one kind of engine is had. */
export interface EngineKind {
  readonly name: string;
  /** The environment variable with the URL of one that is there already. */
  readonly variable: string;
  readonly image: string;
  /** Sets up a container of the image. */
  container(): Promise<Prepared>;
  /** What the machine must have for a process without Docker, in words, and whether it has. */
  readonly needs: string;
  canBuild(): Promise<boolean>;
  /** Downloads or builds the program into the cache, once; resolves to where it is from. */
  build(): Promise<string>;
  /** Sets up a process of what was built. */
  process(): Promise<Prepared>;
  /** Resolves to the name and, if it tells, the version; rejects as long as it does not answer. */
  answers(url: string): Promise<string>;
}

/** Starts a guard (see guard.ts); to end its standard input is to end what it guards. */
export function startGuard(guarded: Guarded): ChildProcess {
  const guard = fileURLToPath(new URL('./guard.ts', import.meta.url));
  const child = spawn(process.execPath, [guard, JSON.stringify(guarded)], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  // What is left to say to a guard that is gone does not matter.
  child.stdin.on('error', () => {});
  return child;
}

/** Ends a guard, and so what it guards; `keep` leaves out its cleaning up. */
export async function endGuard(guard: ChildProcess, keep = false): Promise<void> {
  if (guard.exitCode !== null || guard.signalCode !== null) return;
  const exit = once(guard, 'exit');
  guard.stdin?.end(keep ? 'keep' : '');
  await exit;
}

/** A server as a child process. `folder` holds its data, and is removed with it. */
export function processServer(
  command: readonly [string, ...string[]],
  folder: string,
  env: Readonly<Record<string, string>> = {},
): Server {
  let guard: ChildProcess | undefined;
  let output = '';
  return {
    async start() {
      output = '';
      guard = startGuard({
        run: ['env', ...variables(env), ...command],
        end: ['rm', '-rf', folder],
      });
      for (const stream of [guard.stdout, guard.stderr]) {
        stream?.setEncoding('utf8').on('data', (text: string) => {
          output = (output + text).slice(-4_000);
        });
      }
    },
    async kill() {
      if (guard) await endGuard(guard, true);
    },
    async died() {
      return guard?.exitCode == null ? undefined : `it exited with ${guard.exitCode}:\n${output}`;
    },
    async [Symbol.asyncDispose]() {
      if (guard) await endGuard(guard);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function variables(env: Readonly<Record<string, string>>): string[] {
  return Object.entries(env).map(([name, value]) => `${name}=${value}`);
}

/**
 * A port on loopback where nothing listens. It lies below those that systems give to outgoing
 * connections, so that a killed server finds it free again.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const server = createServer().listen(port, '127.0.0.1');
    const free = await once(server, 'listening').then(
      () => true,
      () => false,
    );
    if (!free) continue;
    server.close();
    await once(server, 'close');
    return port;
  }
}

/** What `answers` resolves to, as soon as it does. Rejects when the server died, or after two minutes. */
export async function untilReady<T>(
  server: Server,
  name: string,
  answers: () => Promise<T>,
): Promise<T> {
  const deadline = Date.now() + 120_000;
  for (;;) {
    try {
      return await answers();
    } catch (error) {
      const died = await server.died();
      if (died) throw new Error(`${name} did not start: ${died}`);
      if (Date.now() > deadline)
        throw new Error(`${name} is not ready after two minutes: ${error}`);
    }
    await setTimeout(100);
  }
}
