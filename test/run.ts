/**
 * `npm test`: every check and every suite, in the order in which they fail soonest. Stops at the first
 * that fails. Arguments go to vitest: `npm test -- sync` runs the suites whose file name says "sync".
 */
import { spawnSync } from 'node:child_process';
import { mkdtempDisposableSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { prepareEngines } from './support/engines.ts';

const scripts = ['typecheck', 'lint', 'proto:lint', 'proto:check', 'proto:breaking'];

async function step(title: string, work: () => void | Promise<void>): Promise<void> {
  console.log(`\n== ${title}`);
  const began = Date.now();
  await work();
  console.log(`== ${title}: ${((Date.now() - began) / 1000).toFixed(1)} s`);
}

function command(name: string, ...args: string[]): void {
  const { status } = spawnSync(name, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0) throw new Error(`${name} ${args.join(' ')} failed`);
}

async function engines(): Promise<void> {
  for (const line of await prepareEngines()) console.log(`  ${line}`);
}

/** Runs the suites and resolves to their count, as one line. */
function suites(args: readonly string[]): string {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'backscroll-run-'));
  const report = join(folder.path, 'report.json');
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
  command('vitest', 'run', ...reporters, ...args);
  const total = JSON.parse(readFileSync(report, 'utf8')) as VitestReport;
  const skipped = total.numPendingTests + total.numTodoTests;
  const counts = `${total.numPassedTests} passed, ${total.numFailedTests} failed`;
  return skipped > 0 ? `${counts}, ${skipped} skipped` : counts;
}

interface VitestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
}

try {
  let count = '';
  console.log(`Node ${process.version} on ${process.platform}/${process.arch}`);
  for (const script of scripts) await step(script, () => command('npm', 'run', '--silent', script));
  await step('engines', engines);
  await step('suites', () => {
    count = suites(process.argv.slice(2));
  });
  console.log(`\n${count}`);
} catch (error) {
  console.error(`\n${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
}
