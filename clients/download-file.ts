import { randomUUID } from 'node:crypto';
import { access, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { status } from '@grpc/grpc-js';
import type { Download } from './download.ts';
import { BackscrollError } from './errors.ts';
import { partBeside } from './upload-source.ts';

/** What a download has come to. */
export interface DownloadProgress {
  /** Bytes of the file received. */
  readonly receivedBytes: number;
  /** Bytes of the file in all. */
  readonly sizeBytes: number;
}

/**
 * Refuses a path that a download would damage: one that exists (ALREADY_EXISTS, reason FILE_EXISTS),
 * unless it may be overwritten; one with a WAL or a journal beside it, which SQLite would mix into
 * the restored database (FAILED_PRECONDITION, reason DATABASE_IN_USE).
 */
export async function refuseTarget(path: string, overwrite: boolean): Promise<void> {
  const part = await partBeside(path);
  if (part !== undefined) {
    throw new BackscrollError(
      `${part} belongs to another state of ${path}: move both away, or name another file`,
      { code: status.FAILED_PRECONDITION, reason: 'DATABASE_IN_USE' },
    );
  }
  if (overwrite || !(await exists(path))) return;
  throw new BackscrollError(`${path} exists`, {
    code: status.ALREADY_EXISTS,
    reason: 'FILE_EXISTS',
  });
}

/**
 * Writes a download to a file, which appears under its name only once it is complete, checked and on
 * disk; until then a temporary file beside it is written, and removed on failure.
 */
export async function writeDownload(
  download: Download,
  path: string,
  overwrite: boolean,
  onProgress: ((progress: DownloadProgress) => void) | undefined,
): Promise<void> {
  const temporary = `${path}.${randomUUID()}.part`;
  const sizeBytes = Number(download.backup.sizeBytes);
  try {
    const file = await open(temporary, 'wx');
    try {
      let receivedBytes = 0;
      for await (const chunk of download) {
        await file.writeFile(chunk);
        receivedBytes += chunk.length;
        onProgress?.({ receivedBytes, sizeBytes });
      }
      await file.sync();
    } finally {
      await file.close();
    }
    await refuseTarget(path, overwrite);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncFolder(dirname(path));
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false;
  }
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
