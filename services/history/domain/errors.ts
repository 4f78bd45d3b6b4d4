import {
  failedPrecondition,
  notFound,
  permissionDenied,
  type ServiceError,
} from '../../common/errors.ts';

/** The one answer for all who were never members, and for groups that are not there. */
export function notAMember(): ServiceError {
  return permissionDenied(
    'NOT_A_MEMBER',
    'The user is no member of the group, or there is no such group.',
  );
}

/** A member may not do this. */
export function roleTooLow(): ServiceError {
  return permissionDenied('ROLE_TOO_LOW', "The user's role in the group does not allow this.");
}

/** There is no message, or none that the user sees. */
export function messageNotFound(): ServiceError {
  return notFound('MESSAGE_NOT_FOUND', 'The user sees no such message.');
}

/** The user acts on what somebody else sent. */
export function notTheSender(): ServiceError {
  return permissionDenied('NOT_THE_SENDER', 'Somebody else sent the message.');
}

/** Nobody can tell any more what changed since the revision that the reader has. */
export function resyncRequired(): ServiceError {
  return failedPrecondition(
    'RESYNC_REQUIRED',
    'What changed since this revision is not known any more: sync again.',
  );
}
