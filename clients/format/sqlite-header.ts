import { SMALLEST_PAGE_BYTES } from './units.ts';

/** Length of the header with which every SQLite database begins, in bytes. */
export const SQLITE_HEADER_BYTES = 100;

const MAGIC = Buffer.from('SQLite format 3\0', 'latin1');
const PAGE_SIZE_OFFSET = 16;

/**
 * Reads the page size in bytes, a power of two from 512 to 65,536, out of the first 100 bytes of a
 * SQLite database; undefined where they are no such header.
 */
export function sqlitePageSize(header: Uint8Array): number | undefined {
  if (header.length < SQLITE_HEADER_BYTES) return undefined;
  if (MAGIC.compare(header, 0, MAGIC.length) !== 0) return undefined;
  const stored = (header[PAGE_SIZE_OFFSET]! << 8) | header[PAGE_SIZE_OFFSET + 1]!;
  // 65,536 does not fit the field's two bytes, and is written as 1.
  const bytes = stored === 1 ? 65_536 : stored;
  return bytes >= 512 && (bytes & (bytes - 1)) === 0 ? bytes : undefined;
}

/** The unit of change in bytes for a database with such SQLite pages. */
export function changeUnit(sqlitePageBytes: number): number {
  return Math.max(sqlitePageBytes, SMALLEST_PAGE_BYTES);
}
