import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { run, works } from './command.ts';
import { Progress } from './progress.ts';
import { endGuard, type Server, startGuard } from './server.ts';

/** Whether a Docker engine answers here. */
export function dockerAnswers(): Promise<boolean> {
  return works('docker', 'version', '--format', '{{.Server.Version}}');
}

/** Makes sure that the engine has an image, by pulling it where it has not. Rejects if it can't. */
export async function provideImage(image: string): Promise<void> {
  if (await works('docker', 'image', 'inspect', image)) return;
  using progress = new Progress(`pulling ${image}`);
  await run('docker', ['pull', image], {
    onLine: (line) => progress.update(line),
    silenceMs: 60_000,
  });
}

/** What is run in a container. */
export interface Container {
  readonly image: string;
  /** The server's port in the container, and the one on loopback where it is published. */
  readonly port: number;
  readonly publishedPort: number;
  readonly env: Readonly<Record<string, string>>;
  readonly args: readonly string[];
}

/** A server as a container, which is removed with its data. */
export function containerServer(container: Container): Server {
  const name = `backscroll-test-${randomBytes(6).toString('hex')}`;
  const env = Object.entries(container.env).flatMap(([key, value]) => ['-e', `${key}=${value}`]);
  const publish = ['-p', `127.0.0.1:${container.publishedPort}:${container.port}`];
  let guard: ChildProcess | undefined;
  return {
    async start() {
      if (guard) {
        await run('docker', ['start', name]);
      } else {
        guard = startGuard({ end: ['docker', 'rm', '-f', '-v', name] });
        const what = [...publish, ...env, container.image, ...container.args];
        await run('docker', ['run', '-d', '--name', name, ...what]);
      }
    },
    async kill() {
      await run('docker', ['kill', name]);
    },
    async died() {
      const state = await run('docker', ['inspect', '-f', '{{.State.Status}}', name]);
      if (state === 'running') return undefined;
      return `its container is ${state}: see docker logs ${name}`;
    },
    async [Symbol.asyncDispose]() {
      if (guard) await endGuard(guard);
    },
  };
}
