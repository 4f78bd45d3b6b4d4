import { failedPrecondition } from '../../common/errors.ts';

/** Stands in for a method until it is written. @throws ServiceError MODE_NOT_SERVED */
export async function notYet(): Promise<never> {
  throw failedPrecondition('MODE_NOT_SERVED', 'The service does not serve this method yet.');
}
