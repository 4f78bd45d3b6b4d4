import { defineConfig } from 'vitest/config';

/** The suites, one folder of `test/` each; those that need engines get them from the global set-up. */
const engines = './test/support/global-setup.ts';

export default defineConfig({
  test: {
    projects: [
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts'] } },
      { test: { name: 'architecture', include: ['test/architecture/**/*.test.ts'] } },
      {
        test: {
          name: 'contract',
          include: ['test/contract/**/*.test.ts'],
          globalSetup: engines,
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'rpc',
          include: ['test/rpc/**/*.test.ts'],
          globalSetup: engines,
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        // Starts engines of its own, to kill them.
        test: {
          name: 'kill',
          include: ['test/kill/**/*.test.ts'],
          testTimeout: 300_000,
          hookTimeout: 60_000,
        },
      },
      {
        // Runs what the README tells a newcomer to run, `npm ci` included.
        test: {
          name: 'readme',
          include: ['test/readme/**/*.test.ts'],
          testTimeout: 600_000,
          hookTimeout: 600_000,
        },
      },
    ],
  },
});
