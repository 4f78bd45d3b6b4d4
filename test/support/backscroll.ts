import { run, works } from './command.ts';
import { TestProcess } from './processes.ts';

/** Starts the `backscroll` command; `env` names the services' addresses, `node` is for Node itself. */
export function startBackscroll(
  env: Readonly<Record<string, string>>,
  args: readonly string[],
  node: readonly string[] = [],
): TestProcess {
  return new TestProcess([...node, 'clients/cli/main.ts', ...args], env);
}

/** How a command ended, and what it said; resolves when it has ended. */
export async function ended(process: TestProcess) {
  const { code } = await process.exited;
  return { code, stdout: process.stdout, stderr: process.stderr };
}

/** Whether there is a `script` as util-linux has it: other systems' take other arguments. */
export const hasScript = await works('script', '--version');

/** What `backscroll` shows on a terminal of its own; fails where its exit code is not 0. */
export function backscrollOnTerminal(
  env: Readonly<Record<string, string>>,
  args: readonly string[],
): Promise<string> {
  // Each of these changes what Node thinks a terminal can show.
  const { NO_COLOR, FORCE_COLOR, NODE_DISABLE_COLORS, CI, TEAMCITY_VERSION, ...rest } = process.env;
  const command = [process.execPath, 'clients/cli/main.ts', ...args].map((word) => `'${word}'`);
  return run('script', ['--quiet', '--return', '--command', command.join(' '), '/dev/null'], {
    env: { ...rest, TERM: 'xterm-256color', ...env },
  });
}

/** The lines of an output. */
export const linesOf = (text: string) => text.split('\n').filter(Boolean);

/** What the lines of an output with `--json` say. */
export const jsonOf = (text: string) => linesOf(text).map((line) => JSON.parse(line));
