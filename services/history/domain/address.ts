import type { Conversation } from '../store/model.ts';
import { group, pair } from './conversation.ts';
import { checkName, type Faults } from './faults.ts';

/** How requests name a conversation, and for whom they are made. */
export interface Address {
  /** Empty for nobody. */
  readonly user: string;
  readonly conversation:
    | { case: 'peer'; value: string }
    | { case: 'group'; value: string }
    | { case: undefined; value?: undefined };
}

/** Notes what is wrong with an address whose fields stand behind `prefix`. */
export function checkAddress(faults: Faults, prefix: string, address: Address): void {
  const { user, conversation } = address;
  if (conversation.case === 'peer' || user !== '') checkName(faults, () => `${prefix}user`, user);
  if (conversation.case === undefined) {
    faults.add('MISSING_FIELD', `${prefix}peer`, 'either peer or group is required');
  } else {
    checkName(faults, () => `${prefix}${conversation.case}`, conversation.value);
  }
}

/** As `checkAddress`, where the user is required, also with a group. */
export function checkAddressOfUser(faults: Faults, address: Address): void {
  const { user, conversation } = address;
  checkAddress(faults, '', address);
  if (user === '' && conversation.case !== 'peer') checkName(faults, () => 'user', user);
}

/** The conversation of a checked address. */
export function conversationAt({ user, conversation }: Address): Conversation {
  return conversation.case === 'group'
    ? group(conversation.value)
    : pair(user, conversation.value ?? '');
}
