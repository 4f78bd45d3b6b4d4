import { status } from '@grpc/grpc-js';
import { BackscrollError } from '../../errors.ts';

/**
 * Does what writes to the folder of files. What the system refuses fails with FAILED_PRECONDITION, reason
 * FOLDER_UNWRITABLE, and the system's error as its cause; all else as it does.
 */
export async function writingTo<T>(folder: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof BackscrollError || !isOfSystem(error)) throw error;
    throw new BackscrollError(`The files' folder ${folder} can't be written: ${error.message}`, {
      code: status.FAILED_PRECONDITION,
      reason: 'FOLDER_UNWRITABLE',
      cause: error,
    });
  }
}

function isOfSystem(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'code' in error && typeof error.code === 'string';
}
