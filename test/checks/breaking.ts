/** Holds the protos to those of the last release or, before the first, of the parent commit. */
import { spawnSync } from 'node:child_process';
import { run } from '../support/command.ts';

const release = git('describe', '--tags', '--abbrev=0', '--match', 'v*');
const base = await release
  .catch(() => git('rev-parse', '--verify', 'HEAD~1'))
  .catch(() => undefined);
if (base === undefined) {
  console.log(
    '  this clone holds neither a release nor the parent commit: nothing to compare with',
  );
} else {
  const against = ['breaking', '--against', `.git#ref=${base}`];
  process.exitCode = spawnSync('buf', against, { stdio: 'inherit' }).status ?? 1;
}

function git(...args: string[]): Promise<string> {
  return run('git', args);
}
