import { vi } from 'vitest';

/** Tells what never comes from what takes long on a busy machine; no test asserts a duration. */
const PATIENCE_MS = 120_000;

/** Resolves to what `check` gives once it does not fail any more; asks it again and again. */
export function eventually<T>(check: () => T | Promise<T>, intervalMs = 50): Promise<T> {
  return vi.waitFor(check, { timeout: PATIENCE_MS, interval: intervalMs });
}
