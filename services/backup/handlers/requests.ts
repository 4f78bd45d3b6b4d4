import type { Caller } from '../../common/call.ts';
import { invalidArgument, permissionDenied } from '../../common/errors.ts';
import type { DatabaseName } from '../domain/keys.ts';
import { DEFAULT_DATABASE, NAME_BYTES } from '../limits.ts';

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what names may not hold
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

/**
 * The database that a request names. `path` stands before the fields' names in errors.
 *
 * @throws ServiceError INVALID_ARGUMENT; PERMISSION_DENIED where a user names another one.
 */
export function parseDatabase(caller: Caller, request: DatabaseName, path = ''): DatabaseName {
  if (request.user === '') throw invalidArgument('MISSING_FIELD', `${path}user`, 'is required');
  const database = request.database || DEFAULT_DATABASE;
  checkName(`${path}user`, request.user);
  checkName(`${path}database`, database);
  if (caller.kind === 'user' && caller.user !== request.user) {
    throw permissionDenied('NOT_THE_CALLER', 'A user may act for themself alone.');
  }
  return { user: request.user, database };
}

/**
 * Checks a text's length in bytes.
 *
 * @throws ServiceError INVALID_ARGUMENT
 */
export function checkText(field: string, text: string, maxBytes: number): void {
  if (Buffer.byteLength(text) > maxBytes) {
    throw invalidArgument('TOO_LARGE', field, `must be at most ${maxBytes} bytes`);
  }
}

/**
 * A number that a request gives as 64 bits, which must be 0 to `most`.
 *
 * @throws ServiceError INVALID_ARGUMENT
 */
export function parseCount(field: string, value: bigint, most: number): number {
  if (value <= BigInt(most)) return Number(value);
  throw invalidArgument('INVALID_FIELD', field, `must be at most ${most}`);
}

function checkName(field: string, name: string): void {
  checkText(field, name, NAME_BYTES);
  if (CONTROL.test(name)) {
    throw invalidArgument('INVALID_FIELD', field, 'must not hold control characters');
  }
}
