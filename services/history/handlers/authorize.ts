import type { Caller } from '../../common/call.ts';
import { notTheCaller } from '../../common/errors.ts';

/** Holds a user to acting for themself: they must be among `users`. @throws ServiceError NOT_THE_CALLER */
export function checkCaller(caller: Caller, users: readonly string[]): void {
  if (caller.kind === 'service' || users.includes(caller.user)) return;
  throw notTheCaller();
}
