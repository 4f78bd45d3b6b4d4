import type { Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { status } from '@grpc/grpc-js';
import { BackscrollError } from '../errors.ts';

/** Refuses what is no regular file, such as a directory, a device or a pipe: reason NOT_A_FILE. */
export function requireRegular(path: string, stats: Stats): void {
  if (stats.isFile()) return;
  const what = stats.isDirectory() ? 'a directory' : 'not a regular file';
  throw new BackscrollError(`${path} is ${what}`, {
    code: status.FAILED_PRECONDITION,
    reason: 'NOT_A_FILE',
  });
}

/** What stands at a path to be read: NOT_FOUND, reason NO_SUCH_FILE, for nothing, and NOT_A_FILE as above. */
export async function regularStats(path: string): Promise<Stats> {
  const stats = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') throw error;
    throw new BackscrollError(`There is no file ${path}`, {
      code: status.NOT_FOUND,
      reason: 'NO_SUCH_FILE',
      cause: error,
    });
  });
  requireRegular(path, stats);
  return stats;
}
