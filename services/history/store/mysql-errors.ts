/** Errors with which MySQL asks for another try of the whole transaction. */
const TRANSIENT_ERRNOS = new Set([
  1213, // deadlock
  1205, // waited too long for a lock
  1180, // failed in its commit
  3101, // rolled back by the replication group
  1290, // read only: a failover
  1836, // read only
  1053, // shutting down
  1317, // interrupted: shutting down as well
]);

/** A table or column is not there (1146, 1054). */
export function isOfOldSchema(error: unknown): boolean {
  const errno = errnoOf(error);
  return errno === 1146 || errno === 1054;
}

/** A column or key that is to be added is there (1060, 1061), or one to be dropped is not (1091). */
export function isAppliedAlready(error: unknown): boolean {
  return [1060, 1061, 1091].includes(errnoOf(error) ?? 0);
}

/** A unique key refused a row. */
export function isDuplicate(error: unknown): boolean {
  return errnoOf(error) === 1062;
}

/** The same may succeed a moment later. */
export function isTransient(error: unknown): boolean {
  return isRefusal(error) ? TRANSIENT_ERRNOS.has(errnoOf(error)!) : isConnectionFailure(error);
}

/** Lost, never made, timed out, or none free; mysql2 marks most with `fatal`, the system's with a code. */
export function isConnectionFailure(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return isFatal(error) || 'syscall' in error || LOST.test(`${codeOf(error)} ${error.message}`);
}

const LOST = /PROTOCOL_|ECONN|ETIMEDOUT|EPIPE|closed state|Queue limit|Pool is closed/;

/** The server answered, and the answer was an error: the connection itself is sound. */
function isRefusal(error: unknown): boolean {
  return (
    typeof (error as { sqlState?: unknown } | undefined)?.sqlState === 'string' && !isFatal(error)
  );
}

function isFatal(error: unknown): boolean {
  return (error as { fatal?: unknown } | undefined)?.fatal === true;
}

function errnoOf(error: unknown): number | undefined {
  return (error as { errno?: number } | undefined)?.errno;
}

function codeOf(error: unknown): string {
  return (error as { code?: string }).code ?? '';
}
