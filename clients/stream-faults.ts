import { status } from '@grpc/grpc-js';
import { BackscrollError } from './errors.ts';

/** A stream ended before its end: UNAVAILABLE, reason CUT_OFF. */
export function cutOff(message: string, cause?: unknown): BackscrollError {
  return new BackscrollError(message, { code: status.UNAVAILABLE, reason: 'CUT_OFF', cause });
}

/** The service answered what it never may: INTERNAL. */
export function wrongAnswer(message: string): BackscrollError {
  return new BackscrollError(message, { code: status.INTERNAL, reason: 'INTERNAL' });
}

/**
 * What was asked for ended early, as where the caller's signal fired while what had arrived was still
 * being read: CANCELLED.
 */
export function cancelled(cause: unknown, message = 'The call was cancelled'): BackscrollError {
  return new BackscrollError(message, {
    code: status.CANCELLED,
    reason: 'CANCELLED',
    cause,
  });
}
