import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { basename } from 'node:path';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import { regularStats } from '../../backup/regular-file.ts';
import { BackscrollError } from '../../errors.ts';
import type { FileSchema } from '../../gen/backscroll/history/v1/message_pb.ts';
import { checkString, invalid } from '../local/checks.ts';
import { isNoRoom } from './file-quota.ts';
import type { FileStore } from './file-store.ts';
import type { TransferHandler } from './transfer-handler.ts';

/** What is told of a file that is uploaded. */
export interface UploadInit {
  /** The last part of its path where it is absent. */
  readonly name?: string | undefined;
  /** Such as `image/jpeg`. */
  readonly mediaType?: string | undefined;
  /** Told how many bytes were sent. */
  readonly onProgress?: ((sentBytes: number) => void) | undefined;
}

/** A file as a message describes it. */
export type FileInit = MessageInitShape<typeof FileSchema>;

/**
 * Uploads a file by the app's handler, and keeps its content: a device does not fetch what it sent. Fails
 * with INVALID_FIELD (`path`), NO_SUCH_FILE or NOT_A_FILE for what can't be uploaded, and with NO_UPLOAD.
 */
export async function uploadFile(
  store: FileStore,
  handler: TransferHandler,
  path: string,
  init: UploadInit,
  signal: AbortSignal,
): Promise<FileInit> {
  checkPath(path);
  await regularStats(path);
  if (!handler.upload) {
    throw new BackscrollError('The transfer handler uploads nothing', {
      code: status.FAILED_PRECONDITION,
      reason: 'NO_UPLOAD',
    });
  }
  const { digest: sha256, sizeBytes } = await digestOf(path, signal);
  await keepCopy(store, path, sha256.toString('hex'), sizeBytes, signal);
  const { name = basename(path), mediaType = '', onProgress = () => {} } = init;
  const file = { path, name, mediaType, sizeBytes, sha256 };
  const url = await handler.upload(file, { signal, onProgress });
  return { url, name, mediaType, sizeBytes: BigInt(sizeBytes), sha256 };
}

function checkPath(path: string): void {
  checkString('path', path);
  if (path !== '' && !path.includes('\0')) return;
  throw invalid('INVALID_FIELD', 'path', 'must be a path');
}

async function digestOf(path: string, signal: AbortSignal) {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  for await (const bytes of createReadStream(path, { signal })) {
    hash.update(bytes);
    sizeBytes += bytes.length;
  }
  return { digest: hash.digest(), sizeBytes };
}

/** Where there is room, and nobody is about to fetch it. */
async function keepCopy(
  store: FileStore,
  path: string,
  sha256: string,
  sizeBytes: number,
  signal: AbortSignal,
): Promise<void> {
  if (sizeBytes > store.quota.quotaBytes || store.find(sha256)) return;
  using lock = await store.lock(sha256);
  if (!lock) return;
  await using part = await store.openPart(sha256);
  await part.begin({ url: '', validator: undefined });
  try {
    await part.claim.reserve(sizeBytes);
    for await (const bytes of createReadStream(path, { signal })) await part.append(bytes);
  } catch (error) {
    await part.clear();
    if (isNoRoom(error)) return;
    throw error;
  }
  if (part.digest() === sha256) {
    await store.keep(part);
    return;
  }
  await part.clear();
  throw new BackscrollError(`${path} was written to while it was uploaded`, {
    code: status.FAILED_PRECONDITION,
    reason: 'SOURCE_CHANGED',
  });
}
