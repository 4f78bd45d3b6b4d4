import { setTimeout as delay } from 'node:timers/promises';
import { BackscrollError } from '../../../clients/errors.ts';
import type { Activity, CallKind } from './activity.ts';

const unavailable = 14;

/** Where a client's calls are counted, and what ends them when they hang. */
export interface Patience {
  readonly activity: Activity;
  readonly signal: AbortSignal;
}

/**
 * Makes one call, and tells whether it was answered. It may fail with UNAVAILABLE, which a kill
 * excuses, or a status of `more`: then the client draws breath. Anything else is thrown.
 */
export async function attempt(
  { activity, signal }: Patience,
  kind: CallKind,
  who: string,
  call: () => Promise<void>,
  more: readonly number[] = [],
): Promise<boolean> {
  try {
    using _ = activity.begin(kind);
    await call();
    return true;
  } catch (error) {
    const code = error instanceof BackscrollError ? error.code : undefined;
    if (code === undefined || ![unavailable, ...more].includes(code)) {
      throw new Error(`${kind} of ${who} failed as no kill excuses`, { cause: error });
    }
  }
  await pause(signal);
  return false;
}

/** Lets a client draw breath before it tries again. */
export async function pause(signal: AbortSignal): Promise<void> {
  await delay(20, undefined, { signal });
}
