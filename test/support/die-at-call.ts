/**
 * Preloaded into a process that a test kills: SIGKILL just before its n-th call of the file system's
 * asynchronous functions, n being DIE_AT_CALL. The name of that call is printed before.
 */
import { writeSync } from 'node:fs';
import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';

const dieAt = Number(process.env.DIE_AT_CALL);
let calls = 0;

// biome-ignore lint/suspicious/noExplicitAny: any function of whatever kind is wrapped
type AnyFunction = (this: any, ...args: any[]) => any;

function dying(name: string, original: AnyFunction): AnyFunction {
  return function (...args) {
    calls += 1;
    if (calls === dieAt) {
      writeSync(process.stdout.fd, `${name}\n`);
      process.kill(process.pid, 'SIGKILL');
    }
    return original.apply(this, args);
  };
}

function wrap(target: object): void {
  for (const [name, { value, writable }] of Object.entries(
    Object.getOwnPropertyDescriptors(target),
  )) {
    if (typeof value !== 'function' || !writable || name === 'constructor') continue;
    Object.assign(target, { [name]: dying(name, value) });
  }
}

const handle = await fs.open(process.execPath);
wrap(Object.getPrototypeOf(handle));
await handle.close();
wrap(fs);
syncBuiltinESMExports();
calls = 0;
