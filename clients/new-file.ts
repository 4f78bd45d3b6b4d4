import { randomUUID } from 'node:crypto';
import { access, type FileHandle, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { status } from '@grpc/grpc-js';
import { BackscrollError } from './errors.ts';

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

/** Throws ALREADY_EXISTS, reason FILE_EXISTS, where there is such a file. */
export async function refuseExisting(path: string): Promise<void> {
  try {
    await access(path);
  } catch {
    return;
  }
  throw new BackscrollError(`${path} exists`, {
    code: status.ALREADY_EXISTS,
    reason: 'FILE_EXISTS',
  });
}

/** Makes the file's name durable, too, where the system can. */
async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
