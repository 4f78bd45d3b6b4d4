import { alreadyExists, type ServiceError } from '../../common/errors.ts';

/** The message at `path` has the id of another one. */
export function idConflict(path: string): ServiceError {
  const description = 'was used before for a message with other content';
  return alreadyExists('MESSAGE_ID_CONFLICT', `${path}.id: ${description}`, {
    fields: [{ field: `${path}.id`, description }],
  });
}
