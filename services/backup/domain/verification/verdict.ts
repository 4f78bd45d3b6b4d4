/** Why a verification may fail, in a word for programs. */
export const FAILURE_REASONS = ['DAMAGED', 'NOT_A_DATABASE', 'CORRUPT', 'LIMIT_EXCEEDED'] as const;

/** One of `FAILURE_REASONS`. */
export type FailureReason = (typeof FAILURE_REASONS)[number];

/** Why a verification failed. */
export interface Failure {
  readonly reason: FailureReason;
  /** The same in words for people. */
  readonly detail: string;
}

/** A failure as it is noted about a backup. */
export function encodeFailure({ reason, detail }: Failure): Buffer {
  return Buffer.from(JSON.stringify({ reason, detail }));
}

/** Reads a noted failure: of what is damaged it tells as much. */
export function decodeFailure(bytes: Buffer): Failure {
  try {
    const { reason, detail } = JSON.parse(bytes.toString()) as Failure;
    if (typeof reason === 'string' && typeof detail === 'string') return { reason, detail };
  } catch {
    // Said below.
  }
  return { reason: 'DAMAGED', detail: 'the backup failed, and why can not be read any more' };
}
