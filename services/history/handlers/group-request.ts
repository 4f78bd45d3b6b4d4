import type { Caller } from '../../common/call.ts';
import { checkAddress } from '../domain/address.ts';
import { type Actor, group } from '../domain/conversation.ts';
import { Faults } from '../domain/faults.ts';
import { checkCaller } from './authorize.ts';

/**
 * Who does something with which group; `check` notes what is wrong with the rest of the request.
 *
 * @throws ServiceError INVALID_ARGUMENT with all faults; NOT_THE_CALLER
 */
export function actorOf(
  caller: Caller,
  request: { readonly user: string; readonly group: string },
  check: (faults: Faults) => void = () => {},
): Actor {
  const { user, group: name } = request;
  const faults = new Faults();
  checkAddress(faults, '', { user, conversation: { case: 'group', value: name } });
  check(faults);
  faults.throwIfAny();
  checkCaller(caller, [user]);
  return { user, conversation: group(name) };
}
