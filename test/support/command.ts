import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** How a command is run; without anything: in this process's environment, however long it takes. */
export interface RunOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** Told every line of both outputs as it comes. */
  readonly onLine?: (line: string) => void;
  /** The command is ended when neither output has said anything for so long. */
  readonly silenceMs?: number;
}

/**
 * Runs a command without a shell and resolves to its standard output. Rejects, with the last lines
 * that it printed, if it cannot be started, exits with another code than 0, or falls silent.
 */
export async function run(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: options.env ?? process.env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output: string[] = [];
  const last: string[] = [];
  let silent = false;
  const end = () => {
    silent = true;
    child.kill('SIGKILL');
  };
  let timer = options.silenceMs ? setTimeout(end, options.silenceMs) : undefined;
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      if (stream === child.stdout) output.push(line);
      last.push(line);
      if (last.length > 20) last.shift();
      if (timer) {
        clearTimeout(timer);
        timer = setTimeout(end, options.silenceMs);
      }
      options.onLine?.(line);
    });
  }
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  child.once('error', reject).once('close', resolve);
  const code = await promise.finally(() => clearTimeout(timer));
  if (code === 0) return output.join('\n');
  const how = silent ? 'said nothing for too long' : `failed with ${code ?? child.signalCode}`;
  throw new Error(`${command} ${args[0] ?? ''} ${how}:\n${last.join('\n')}`);
}

/** Whether a command can be run at all: it exits with 0 within ten seconds. */
export async function works(command: string, ...args: string[]): Promise<boolean> {
  return run(command, args, { silenceMs: 10_000 }).then(
    () => true,
    () => false,
  );
}
