import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';

const server = fileURLToPath(new URL('../support/server.ts', import.meta.url));

/** A run that starts a server which would stay for ever, and says the server's process id. */
function runWithServer(folder: string) {
  const stays = 'console.log(process.pid); setInterval(() => {}, 1000)';
  const command = JSON.stringify([process.execPath, '-e', stays]);
  const guarded = `{ run: ${command}, end: ['rm', '-rf', ${JSON.stringify(folder)}] }`;
  const script = `
    import { startGuard } from ${JSON.stringify(server)};
    startGuard(${guarded}).stdout.pipe(process.stdout);`;
  return spawn(process.execPath, ['--input-type=module', '-e', script]);
}

it('ends a server and removes its data when the run that started it is killed', async () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'backscroll-guard-'));
  const run = runWithServer(folder.path);
  const [line] = await once(run.stdout.setEncoding('utf8'), 'data');
  const pid = Number(line);
  expect(alive(pid)).toBe(true);
  run.kill('SIGKILL');
  await eventually(() => expect(alive(pid)).toBe(false));
  await eventually(() => expect(existsSync(folder.path)).toBe(false));
});

function alive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
