/** What of a log is needed here. */
interface ErrorLog {
  error(details: object, message: string): void;
}

/** Logs damaged heads, which are left out, by their keys, which name nobody: for `Backups`. */
export function logDamagedHeads(log: ErrorLog): (key: string, error: Error) => void {
  return (key, error) => log.error({ key, fault: error.message }, 'a damaged head was left out');
}
