import type { Caller } from '../../common/call.ts';
import {
  alreadyExists,
  failedPrecondition,
  permissionDenied,
  type ServiceError,
} from '../../common/errors.ts';
import { notAMember } from '../domain/errors.ts';
import type { Refusal } from '../store/model.ts';

/** The error of a batch that was refused; its messages stand at `path`, such as `messages`. */
export function refusalError(caller: Caller, path: string, refused: Refusal): ServiceError {
  if (refused.why === 'conflict') return idConflict(`${path}[${refused.index}].id`);
  // A user is not told whether there is such a group.
  if (caller.kind === 'user') return notAMember();
  if (refused.why === 'groupDeleted') {
    return failedPrecondition('GROUP_DELETED', 'The group was deleted.');
  }
  const field = `${path}[${refused.index}].sender`;
  const description = 'is no member of the group';
  return permissionDenied('NOT_A_MEMBER', `${field}: ${description}`, {
    fields: [{ field, description }],
  });
}

function idConflict(field: string): ServiceError {
  const description = 'was used before for a message with other content';
  return alreadyExists('MESSAGE_ID_CONFLICT', `${field}: ${description}`, {
    fields: [{ field, description }],
  });
}
