import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

/** Tells a test that hangs from one on a busy machine; no test asserts a duration. */
const patience = { testTimeout: 600_000, hookTimeout: 300_000 };

/** Real engines for the suites that need them, started once a run. */
const engines = { globalSetup: './test/support/global-setup.ts' };

const suite = (name: string, options: object = {}) => ({
  test: { name, include: [`test/${name}/**/*.test.ts`], ...patience, ...options },
});

/** The suites, one folder of `test/` each. */
export default defineConfig({
  test: {
    // Much of their time the suites wait for engines, disks and processes: one more than two cores do.
    maxWorkers: Math.max(3, availableParallelism()),
    projects: [
      suite('unit'),
      suite('architecture'),
      suite('contract', {
        ...engines,
        setupFiles: './test/support/record-statements.ts',
        sequence: { groupOrder: 1 },
      }),
      suite('rpc', engines),
      // After the contract's: looks at the statements that it sent.
      suite('statements', { ...engines, sequence: { groupOrder: 2 } }),
      // Starts engines of its own, to kill them.
      suite('kill'),
      // Runs what the README tells a newcomer to run, `npm ci` included.
      suite('readme'),
    ],
  },
});
