import { status } from '@grpc/grpc-js';
import { BackscrollError } from '../errors.ts';

/** The error of a database that is not whole, or not what its program wrote: DATA_LOSS, reason DATABASE_DAMAGED. */
export function damaged(what: string, fault: string): BackscrollError {
  return new BackscrollError(`${what} is damaged: ${fault}`, {
    code: status.DATA_LOSS,
    reason: 'DATABASE_DAMAGED',
  });
}
