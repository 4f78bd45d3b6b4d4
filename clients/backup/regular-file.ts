import type { Stats } from 'node:fs';
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
