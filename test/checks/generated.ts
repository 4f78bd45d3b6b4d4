/** Holds the committed code in clients/gen to what the protos generate, without touching the tree. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../support/command.ts';

const folder = mkdtempSync(join(tmpdir(), 'backscroll-gen-'));
try {
  await run('buf', ['generate', '--output', folder]);
  const compare = ['diff', '--no-index', '--exit-code', 'clients/gen', join(folder, 'clients/gen')];
  const { status } = spawnSync('git', compare, { stdio: 'inherit' });
  if (status !== 0) {
    console.error('clients/gen is not what the protos generate: npm run proto:gen');
    process.exitCode = 1;
  }
} finally {
  rmSync(folder, { recursive: true });
}
