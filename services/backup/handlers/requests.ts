import type { Caller } from '../../common/call.ts';
import { invalidArgument, notTheCaller } from '../../common/errors.ts';
import { nameFault } from '../../common/names.ts';
import type { DatabaseName } from '../domain/keys.ts';
import { DEFAULT_DATABASE } from '../limits.ts';

/**
 * The database that a request names. `path` stands before the fields' names in errors.
 *
 * @throws ServiceError INVALID_ARGUMENT; PERMISSION_DENIED where a user names another one.
 */
export function parseDatabase(caller: Caller, request: DatabaseName, path = ''): DatabaseName {
  const database = request.database || DEFAULT_DATABASE;
  checkName(`${path}user`, request.user);
  checkName(`${path}database`, database);
  return { user: parseUser(caller, request, path), database };
}

/**
 * The user that a request names. `path` stands before the field's name in errors.
 *
 * @throws ServiceError INVALID_ARGUMENT; PERMISSION_DENIED where a user names another one.
 */
export function parseUser(caller: Caller, { user }: { user: string }, path = ''): string {
  checkName(`${path}user`, user);
  if (caller.kind === 'user' && caller.user !== user) throw notTheCaller();
  return user;
}

/**
 * The number of a backup; 0, where a request gives none, for the newest.
 *
 * @throws ServiceError INVALID_ARGUMENT
 */
export function parseBackupNumber(number: bigint): number {
  return parseCount('number', number, Number.MAX_SAFE_INTEGER);
}

/**
 * The number of a backup, which a request must give.
 *
 * @throws ServiceError INVALID_ARGUMENT
 */
export function requireBackupNumber(number: bigint): number {
  if (number === 0n) throw invalidArgument('MISSING_FIELD', 'number', 'is required');
  return parseBackupNumber(number);
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
  // Beyond 2^53 it may be another number, but none that passes.
  const number = Number(value);
  if (number <= most) return number;
  throw invalidArgument('INVALID_FIELD', field, `must be at most ${most}`);
}

function checkName(field: string, name: string): void {
  const fault = nameFault(name);
  if (fault) throw invalidArgument(fault.reason, field, fault.description);
}
