import { spawn } from 'node:child_process';
import { once } from 'node:events';
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
  return run('script', scriptArguments(args), { env: terminalEnvironment(env) });
}

/** As `backscrollOnTerminal`, of a command that asks: each line is typed once it asks for one more. */
export function backscrollAnswering(
  env: Readonly<Record<string, string>>,
  args: readonly string[],
  lines: readonly string[],
): Promise<{ code: number; shown: string }> {
  return typing(
    env,
    args,
    lines.map((line) => `${line}\r`),
    /: +$/,
  );
}

/** As `backscrollOnTerminal`, of a command that shows pages: each key is pressed once it waits for one. */
export function backscrollPressing(
  env: Readonly<Record<string, string>>,
  args: readonly string[],
  keys: readonly string[],
): Promise<{ code: number; shown: string }> {
  return typing(env, args, keys, /quit --$/);
}

/** Types each of `typed` when what is shown ends with a question. */
async function typing(
  env: Readonly<Record<string, string>>,
  args: readonly string[],
  typed: readonly string[],
  question: RegExp,
): Promise<{ code: number; shown: string }> {
  const terminal = spawn('script', scriptArguments(args), { env: terminalEnvironment(env) });
  const left = [...typed];
  let shown = '';
  terminal.stdout.setEncoding('utf8').on('data', (text: string) => {
    shown += text;
    const next = question.test(shown) ? left.shift() : undefined;
    if (next !== undefined) terminal.stdin.write(next);
  });
  const [code] = await once(terminal, 'close');
  return { code, shown };
}

function scriptArguments(args: readonly string[]): string[] {
  const command = [process.execPath, 'clients/cli/main.ts', ...args].map((word) => `'${word}'`);
  return ['--quiet', '--return', '--command', command.join(' '), '/dev/null'];
}

function terminalEnvironment(env: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  // Each of these changes what Node thinks a terminal can show.
  const { NO_COLOR, FORCE_COLOR, NODE_DISABLE_COLORS, CI, TEAMCITY_VERSION, ...rest } = process.env;
  return { ...rest, TERM: 'xterm-256color', ...env };
}

/** The lines of an output. */
export const linesOf = (text: string) => text.split('\n').filter(Boolean);

/** What the lines of an output with `--json` say. */
export const jsonOf = (text: string) => linesOf(text).map((line) => JSON.parse(line));
