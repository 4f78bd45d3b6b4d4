/** A service can't start, for a reason outside of it that one line says. */
export class StartError extends Error {
  override readonly name = 'StartError';
}

/**
 * Runs a step of a service's start that the setting `variable` decides.
 *
 * @throws StartError, which begins with the variable, where the system or a driver refused the step:
 * their errors, which have a code, or errors of our own that have one as cause. Any other error
 * stays what it is.
 */
export async function blame<T>(variable: string, step: () => T | Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (cause) {
    if (!(cause instanceof Error)) throw cause;
    const code = codeOf(cause) ?? codeOf(cause.cause);
    if (code === undefined) throw cause;
    const words = cause.message.replace(/\s+/g, ' ') || code;
    throw new StartError(`${variable}: ${words}`, { cause });
  }
}

function codeOf(error: unknown): string | undefined {
  const { code } = (error ?? {}) as { code?: unknown };
  return typeof code === 'string' ? code : undefined;
}
