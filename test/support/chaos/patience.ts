import { setTimeout as delay } from 'node:timers/promises';
import { BackscrollError } from '../../../clients/errors.ts';

/** Statuses with which a call may end when something behind it was killed: UNAVAILABLE alone. */
const excused = new Set([14]);

/** Passes over what a kill excuses; throws everything else, with what was tried. */
export function excuse(error: unknown, what: string, more: readonly number[] = []): void {
  if (error instanceof BackscrollError && (excused.has(error.code) || more.includes(error.code))) {
    return;
  }
  throw new Error(`${what} failed as no kill excuses`, { cause: error });
}

/** Lets a client draw breath before it tries again. */
export async function pause(signal: AbortSignal): Promise<void> {
  await delay(20, undefined, { signal });
}
