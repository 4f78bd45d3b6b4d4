import type { Logger } from '../common/logger.ts';

/** Logs damaged heads, which are left out, by their keys, which name nobody: for `Backups`. */
export function logDamagedHeads(log: Logger): (key: string, error: Error) => void {
  return (key, error) => log.error({ key, fault: error.message }, 'a damaged head was left out');
}
