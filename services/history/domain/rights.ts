import type { Conversation } from '../store/model.ts';
import { ROLE, type Standing } from '../store/standing.ts';
import { notAMember, roleTooLow } from './errors.ts';
import { viewFrom } from './view.ts';

/**
 * What `user` may do in a group, as one of `ROLE`; empty for a service, which may do all that an owner
 * may. Whoever is no member learns nothing of the group, not even that there is one.
 *
 * @throws ServiceError NOT_A_MEMBER; ROLE_TOO_LOW for members below `atLeast`; GROUP_NOT_FOUND without a user
 */
export function checkRole(
  conversation: Conversation,
  user: string,
  standing: Standing | undefined,
  atLeast: number,
): number {
  const view = viewFrom(conversation, user, standing);
  const role = user === '' ? ROLE.owner : view.role;
  if (role >= atLeast) return role;
  throw role === ROLE.former ? notAMember() : roleTooLow();
}
