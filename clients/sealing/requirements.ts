import { status } from '@grpc/grpc-js';
import type { UploadSource } from '../backup/database-file.ts';
import { BackscrollError } from '../errors.ts';
import { canUnpackFrames } from '../format/frames.ts';

/** Refuses a Node that can neither seal nor open: FAILED_PRECONDITION, reason NO_ZSTD. */
export function requireZstd(): void {
  if (canUnpackFrames) return;
  throw new BackscrollError('Sealed backups need Node 22.15 or newer, which knows zstd', {
    code: status.FAILED_PRECONDITION,
    reason: 'NO_ZSTD',
  });
}

/**
 * Refuses, before anything is sent, an upload that could be made only plain: as `requireZstd`; of a source
 * that can't be read at any position (FAILED_PRECONDITION, reason SOURCE_NOT_SEEKABLE); with a `sha256`
 * of what the service can't read (INVALID_ARGUMENT, reason INVALID_FIELD).
 */
export function requireSealable({ open }: UploadSource, sha256: Uint8Array | undefined): void {
  requireZstd();
  if (!open) {
    throw new BackscrollError('A source that can not be read at any position can not be sealed', {
      code: status.FAILED_PRECONDITION,
      reason: 'SOURCE_NOT_SEEKABLE',
    });
  }
  if (!sha256?.length) return;
  const description = 'must be absent where a key is given: the service can not read the file';
  throw new BackscrollError(`sha256: ${description}`, {
    code: status.INVALID_ARGUMENT,
    reason: 'INVALID_FIELD',
    fields: [{ field: 'sha256', description }],
  });
}
