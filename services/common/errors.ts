/** Every status that a call may end in besides OK, as gRPC numbers them. */
export const Code = {
  CANCELLED: 1,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;

/** Number of a status in `Code`. */
export type Code = (typeof Code)[keyof typeof Code];

/**
 * Every reason that an error may carry, each in one line. The list is closed, and the README's table
 * is checked against it: clients decide by reasons, so one that is released keeps its meaning.
 */
export const REASONS = {
  // Requests
  MALFORMED: 'The request is no valid protobuf message, or a string in it is no UTF-8.',
  MISSING_FIELD: 'A required field is absent or empty.',
  INVALID_FIELD: 'A field has a value that is not allowed.',
  TOO_LARGE: 'A field, message or batch is over its limit.',
  OUT_OF_ORDER: 'A stream sent a message that may not come at this point.',
  NOT_THE_CALLER: 'A user may act for themself alone.',
  // History
  NOT_A_MEMBER: 'The user is no member of the group, or there is no such group.',
  GROUP_NOT_FOUND: 'There is no such group.',
  GROUP_EXISTS: 'There is, or was, a group of this name.',
  GROUP_DELETED: 'The group was deleted.',
  MEMBER_NOT_FOUND: 'The one it is about is no member of the group.',
  ROLE_TOO_LOW: "The user's role in the group does not allow this.",
  TOO_MANY_MEMBERS: 'The group would have more members than a group may.',
  MESSAGE_ID_CONFLICT: 'The message id was used before for a message with other content.',
  MESSAGE_NOT_FOUND: 'The user sees no such message.',
  MESSAGE_DELETED: 'The message was deleted for everyone.',
  NOT_THE_SENDER: 'Somebody else sent the message.',
  REVISION_MISMATCH: 'The message changed since the revision expected: look at it again.',
  RESYNC_REQUIRED: 'The log of changes does not reach back that far: sync again.',
  // Backup
  BACKUP_NOT_FOUND: 'There is no such backup.',
  NOT_A_DATABASE: 'The bytes are no SQLite database, and were not declared opaque.',
  SIZE_MISMATCH: 'Fewer or more bytes came than were declared.',
  DIGEST_MISMATCH: 'The bytes that came do not have the declared digest.',
  UPLOAD_ID_CONFLICT: 'The upload id was used before for another file.',
  CONCURRENT_UPLOAD: 'Another upload of the same database was committed meanwhile: upload again.',
  SEALED: 'The backup is sealed by a key of its uploader: its bytes can be had as frames alone.',
  COLLECTED: 'Stored pages that the upload relied on are to be deleted, or damaged: upload again.',
  TAKES_TOO_LONG: 'The upload or download took longer than one may: go on with a new one.',
  ERASED: 'The backups of the database were deleted while the upload was under way.',
  QUOTA_EXCEEDED: "The user's backups take up as much as they may: delete some.",
  NOT_VERIFIED: 'The backup can not be verified now, for lack of room or by a fault: try again.',
  DAMAGED: 'What the store gave back is damaged.',
  // Both services
  STORE_UNAVAILABLE: 'The database or object store is gone or busy: try again.',
  STOPPING: 'The service is stopping: try again, with another replica if there is one.',
  TOO_MANY_CALLS: 'The service has as many calls in flight as it allows: try again later.',
  IDLE: 'The client sent or read nothing for too long while the service waited for it.',
  DEADLINE: "The call's deadline passed.",
  CANCELLED: 'The client cancelled the call, or vanished.',
  INTERNAL: 'A fault of the service; its log has more under the id in the metadata.',
} as const satisfies Record<string, string>;

/** One of `REASONS`. */
export type Reason = keyof typeof REASONS;

/** What is wrong with one field of a request. */
export interface FieldFault {
  /** Path of the field as the proto names it, such as `messages[3].id`. */
  field: string;
  /** What is wrong and what is allowed, without the value itself. */
  description: string;
}

/** What an error carries besides its message. */
export interface ErrorDetails {
  fields?: readonly FieldFault[];
  /** Facts for programs, such as an id or a limit; never message text or secrets. */
  metadata?: Readonly<Record<string, string>>;
  cause?: unknown;
}

/**
 * An error that the caller is meant to see: all of it but `cause` goes over the wire. Anything else
 * that is thrown reaches the caller as INTERNAL, with an id and nothing else.
 */
export class ServiceError extends Error {
  override readonly name = 'ServiceError';
  readonly code: Code;
  readonly reason: Reason;
  readonly fields: readonly FieldFault[];
  readonly metadata: Readonly<Record<string, string>>;

  constructor(code: Code, reason: Reason, message: string, details: ErrorDetails = {}) {
    super(message, { cause: details.cause });
    this.code = code;
    this.reason = reason;
    this.fields = details.fields ?? [];
    this.metadata = details.metadata ?? {};
  }
}

/** A field of the request is missing, wrong or too large: repeating the call as it is can't help. */
export function invalidArgument(reason: Reason, field: string, description: string): ServiceError {
  const fields = [{ field, description }];
  return new ServiceError(Code.INVALID_ARGUMENT, reason, `${field}: ${description}`, { fields });
}

/** What the call names does not exist, or not for this caller. */
export function notFound(reason: Reason, message: string, details?: ErrorDetails): ServiceError {
  return new ServiceError(Code.NOT_FOUND, reason, message, details);
}

/** What the call would make exists already, and differs. */
export function alreadyExists(
  reason: Reason,
  message: string,
  details?: ErrorDetails,
): ServiceError {
  return new ServiceError(Code.ALREADY_EXISTS, reason, message, details);
}

/** The caller may not do this. */
export function permissionDenied(
  reason: Reason,
  message: string,
  details?: ErrorDetails,
): ServiceError {
  return new ServiceError(Code.PERMISSION_DENIED, reason, message, details);
}

/** A user acts for somebody else. */
export function notTheCaller(): ServiceError {
  return permissionDenied('NOT_THE_CALLER', 'A user may act for themself alone.');
}

/** The call can't succeed until something else is done first. */
export function failedPrecondition(
  reason: Reason,
  message: string,
  details?: ErrorDetails,
): ServiceError {
  return new ServiceError(Code.FAILED_PRECONDITION, reason, message, details);
}

/** Something else changed meanwhile what the call is about: begin it again. */
export function aborted(reason: Reason, message: string, details?: ErrorDetails): ServiceError {
  return new ServiceError(Code.ABORTED, reason, message, details);
}

/** A limit of the service is reached: try again later. */
export function resourceExhausted(
  reason: Reason,
  message: string,
  details?: ErrorDetails,
): ServiceError {
  return new ServiceError(Code.RESOURCE_EXHAUSTED, reason, message, details);
}

/** The service or its store is not there at the moment: repeat the same call. */
export function unavailable(reason: Reason, message: string, details?: ErrorDetails): ServiceError {
  return new ServiceError(Code.UNAVAILABLE, reason, message, details);
}

/** What was stored is damaged. */
export function dataLoss(reason: Reason, message: string, details?: ErrorDetails): ServiceError {
  return new ServiceError(Code.DATA_LOSS, reason, message, details);
}
