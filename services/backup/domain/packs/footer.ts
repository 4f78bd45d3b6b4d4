import type { BackupStore, StoredObject } from '../../store/store.ts';
import { readTrailer, TRAILER_BYTES } from '../coding.ts';

/**
 * Reads the footer with which an object ends, and the trailer behind it. `guessBytes` of the end are
 * read first, and all of it only where that was not enough. The footer is not checked here.
 *
 * Throws DamageError where there is no trailer of this format.
 */
export async function readFooter(
  store: BackupStore,
  { key, sizeBytes }: Pick<StoredObject, 'key' | 'sizeBytes'>,
  magic: Buffer,
  guessBytes: number,
  signal: AbortSignal,
): Promise<Buffer> {
  const readEnd = async (lengthBytes: number) => {
    const length = Math.min(lengthBytes, sizeBytes);
    const range = { offset: sizeBytes - length, length };
    return (await store.get(key, range, signal)) ?? Buffer.alloc(0);
  };
  const end = await readEnd(guessBytes);
  const neededBytes = readTrailer(end, magic).footerBytes + TRAILER_BYTES;
  return neededBytes > end.length ? readEnd(neededBytes) : end.subarray(-neededBytes);
}
