import { changeUnit, sqlitePageSize } from '../../../../clients/format/sqlite-header.ts';
import { invalidArgument, type ServiceError } from '../../../common/errors.ts';

/**
 * The unit of change of a database of this size that begins with these bytes. `field` stands in
 * errors.
 *
 * @throws ServiceError INVALID_ARGUMENT, reason NOT_A_DATABASE
 */
export function databaseUnit(start: Uint8Array, sizeBytes: number, field: string): number {
  const pageBytes = sqlitePageSize(start);
  if (pageBytes === undefined) throw noDatabase(field, 'begins with no SQLite header');
  if (sizeBytes % pageBytes !== 0) {
    throw noDatabase(field, 'has a size that is no multiple of the SQLite page size in its header');
  }
  return changeUnit(pageBytes);
}

/** The error of a file that is not as large as declared. */
export function wrongSize(how: 'more' | 'fewer'): ServiceError {
  return invalidArgument('SIZE_MISMATCH', 'start.size_bytes', `${how} bytes came than declared`);
}

function noDatabase(field: string, why: string): ServiceError {
  return invalidArgument('NOT_A_DATABASE', field, `${why}, and was not declared opaque`);
}
