/**
 * Stands between a test run and what it started, so that nothing outlives it, not even when the run
 * itself is killed: runs the command `run`, and when its own standard input ends, which it does with
 * the process at the other end, kills that command and runs the command `end` to clean up. Any byte on
 * standard input before means that there is nothing to clean up yet.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';

/** What a guard is told, as JSON in its one argument. */
export interface Guarded {
  readonly run?: readonly [string, ...string[]];
  readonly end?: readonly [string, ...string[]];
}

const { run, end } = JSON.parse(process.argv[2] ?? '{}') as Guarded;
// An interrupt at the terminal reaches the whole group: it is the run that decides what follows.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});

const child = run && spawn(run[0], run.slice(1), { stdio: ['ignore', 'inherit', 'inherit'] });
child?.once('error', (error) => {
  console.error(error.message);
  process.exit(127);
});
child?.once('exit', (code) => process.exit(code ?? 1));

let keep = false;
process.stdin.on('data', () => {
  keep = true;
});
await once(process.stdin, 'end');
if (child) {
  child.removeAllListeners('exit');
  child.kill('SIGKILL');
  await once(child, 'exit');
}
if (end && !keep) spawnSync(end[0], end.slice(1), { stdio: 'ignore' });
process.exit(0);
