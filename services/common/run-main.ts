import process from 'node:process';
import { ConfigError } from './config.ts';
import { StartError } from './start-error.ts';

/** What `runMain` runs: a service that listens, or several. */
export interface Running {
  stop(): Promise<void>;
}

/** Exit codes: a fault of the configuration can't be cured by starting again. */
const EXIT_FAILED = 1;
const EXIT_CONFIG = 2;

/**
 * The life of a service's process: start, run until SIGTERM or SIGINT, stop, exit. Faults of the
 * configuration are printed one a line and end it with 2, other failures with 1. A second signal
 * ends it at once.
 */
export async function runMain(start: (env: NodeJS.ProcessEnv) => Promise<Running>): Promise<void> {
  try {
    const running = await start(process.env);
    await signalled();
    process.once('SIGTERM', () => process.exit(EXIT_FAILED));
    process.once('SIGINT', () => process.exit(EXIT_FAILED));
    await running.stop();
    process.exit(0);
  } catch (error) {
    process.exit(report(error));
  }
}

/** Prints why a process ends, in one line for each thing that its operator can mend, and gives its exit code. */
export function report(error: unknown): number {
  if (error instanceof ConfigError) {
    for (const fault of error.faults) console.error(fault);
    return EXIT_CONFIG;
  }
  console.error(error instanceof StartError ? error.message : error);
  return EXIT_FAILED;
}

function signalled(): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGTERM', () => resolve());
    process.once('SIGINT', () => resolve());
  });
}
