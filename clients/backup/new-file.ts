import { randomUUID } from 'node:crypto';
import { type FileHandle, lstat, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { status } from '@grpc/grpc-js';
import { BackscrollError } from '../errors.ts';
import { requireRegular } from './regular-file.ts';

/**
 * Writes a file that appears under its name only once it is complete and on disk: until then a
 * temporary file beside it is written, which is removed on failure. `mayAppear` throws where the name
 * may not be used; it is asked before and after the writing.
 */
export async function writeNewFile(
  path: string,
  mayAppear: () => Promise<void>,
  write: (file: FileHandle) => Promise<void>,
): Promise<void> {
  await mayAppear();
  const temporary = `${path}.${randomUUID()}.part`;
  try {
    const file = await open(temporary, 'wx');
    try {
      await write(file);
      await file.sync();
    } finally {
      await file.close();
    }
    await mayAppear();
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncFolder(dirname(path));
}

/**
 * Refuses a path that is taken: reason FILE_EXISTS for a file, unless it may be replaced
 * (`overwrite`), and NOT_A_FILE for all else, also for links: a name such as /dev/stdout must never
 * be given to a new file.
 */
export async function refuseTaken(path: string, overwrite = false): Promise<void> {
  const stats = await lstatOf(path);
  if (stats === undefined) return;
  requireRegular(path, stats);
  if (overwrite) return;
  throw new BackscrollError(`${path} exists`, {
    code: status.ALREADY_EXISTS,
    reason: 'FILE_EXISTS',
  });
}

/** What stands under a name itself, a link or not; undefined where nothing does. */
export async function lstatOf(path: string) {
  try {
    return await lstat(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Makes the names in a folder durable, where the system can. */
export async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
