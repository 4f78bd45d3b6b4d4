import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const endWithParent = fileURLToPath(new URL('./end-with-parent.ts', import.meta.url));

/** The most memory that a process (`self`: this one) ever had resident, in bytes, by the kernel's account. Linux only. */
export function peakMemoryBytes(pid: string): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmHWM:\s*(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

/** How a process ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A real process under test. Disposing it kills it, if it still runs. */
export class TestProcess implements AsyncDisposable {
  readonly child: ChildProcess;
  /** Resolves when it has ended and all its output has come. */
  readonly exited: Promise<Exit>;
  /** What it wrote to standard output, and to standard error, so far. */
  stdout = '';
  stderr = '';

  /** Runs Node on `args` in the project's root, with `env` over this process's environment. */
  constructor(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.child = spawn(process.execPath, args, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
    });
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    this.exited = once(this.child, 'close').then(([code, signal]) => ({ code, signal }));
  }

  /** Sends a signal and resolves when the process has ended. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<Exit> {
    this.child.kill(signal);
    return this.exited;
  }

  /** The most memory that was ever resident, in bytes, by the kernel's account. Linux only. */
  peakMemoryBytes(): number {
    return peakMemoryBytes(`${this.child.pid}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) await this.kill();
  }
}

/** A service that runs in a process of its own and has said that it listens. */
export interface TestService extends AsyncDisposable {
  readonly process: TestProcess;
  /** `127.0.0.1:PORT` for gRPC, and for metrics. */
  readonly address: string;
  readonly metrics: string;
}

/**
 * Starts a service on free ports, with `env` as its configuration, and waits for its log line
 * "listening". `main` is the file to run. Rejects with all that it wrote if it ends before.
 */
export async function startService(
  name: 'history' | 'backup',
  env: Readonly<Record<string, string>>,
  main = `services/${name}/main.ts`,
): Promise<TestService> {
  const listen = { [`${name.toUpperCase()}_LISTEN`]: '127.0.0.1:0' };
  const metricsListen = { [`${name.toUpperCase()}_METRICS_LISTEN`]: '127.0.0.1:0' };
  const service = new TestProcess(['--import', endWithParent, main], {
    ...{ ...listen, ...metricsListen, END_WITH_PARENT: String(process.pid) },
    ...env,
  });
  const { address, metrics } = await listening(service);
  return {
    process: service,
    address,
    metrics,
    [Symbol.asyncDispose]: () => service[Symbol.asyncDispose](),
  };
}

interface ListeningLine {
  readonly msg: 'listening';
  readonly address: string;
  readonly metrics: string;
}

async function listening(service: TestProcess): Promise<ListeningLine> {
  const { promise, resolve, reject } = Promise.withResolvers<ListeningLine>();
  if (service.child.stdout) {
    createInterface({ input: service.child.stdout }).on('line', (line) => {
      const entry = line.startsWith('{') ? JSON.parse(line) : undefined;
      if (entry?.msg === 'listening') resolve(entry);
    });
  }
  void service.exited.then(({ code, signal }) => {
    const output = `${service.stdout}${service.stderr}`;
    reject(new Error(`the service ended (${signal ?? code}) before it listened:\n${output}`));
  });
  return promise;
}
