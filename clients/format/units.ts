/**
 * The units in which both ends of a backup count. They are part of the stored format: to change one
 * of them is a new version of the format.
 */

/** Smallest unit of change in bytes; a database with larger SQLite pages is counted in those. */
export const SMALLEST_PAGE_BYTES = 4096;

/** Largest unit of change in bytes: the largest SQLite page. */
const LARGEST_PAGE_BYTES = 65_536;

/** An extent in bytes: what is compared first. A multiple of every page size. */
export const EXTENT_BYTES = 65_536;

/** A digest in bytes: the first half of a SHA-256. */
export const DIGEST_BYTES = 16;

/** Most bytes of pages that one frame holds before they are compressed. A multiple of every page size. */
export const FRAME_BYTES = 262_144;

/** Most bytes by which a sealed frame may be longer than its pages. */
export const SEALED_EXTRA_BYTES = 512;

/** Extents that both ends compare at once, and that one piece of a map tells of. */
export const SEGMENT_EXTENTS = 1024;

/** Segments of one incremental upload that may be under way at once. */
export const SEGMENTS_IN_FLIGHT = 2;

/** The part of a file whose frames a download sends together, in bytes. A multiple of an extent. */
export const WINDOW_BYTES = 4 * 1024 * 1024;

/** Largest file in bytes. */
export const LARGEST_FILE_BYTES = 64 * 1024 ** 3;

/** Tells whether `bytes` can be a unit of change: a power of two from 4,096 to 65,536. */
export function isPageSize(bytes: number): boolean {
  return bytes >= SMALLEST_PAGE_BYTES && bytes <= LARGEST_PAGE_BYTES && (bytes & (bytes - 1)) === 0;
}
