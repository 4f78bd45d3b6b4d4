import { access } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { Exit, failureOf } from '../../../clients/cli/exit.ts';

it('tells a path that can not be used from a fault that may pass', async () => {
  const missing = await access('no/such/file').catch((error: unknown) => error);
  expect(failureOf(missing, undefined).exitCode).toBe(Exit.usage);
  const message = 'ENOSPC: no space left on device, write';
  const full = Object.assign(new Error(message), { code: 'ENOSPC', syscall: 'write' });
  expect(failureOf(full, undefined)).toEqual({ message, exitCode: Exit.failed });
});
