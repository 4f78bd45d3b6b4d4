import { digest, pageDigests } from '../../../../clients/format/digests.ts';
import { FrameCodec, FrameError, unpackFrame } from '../../../../clients/format/frames.ts';
import { release } from '../../../../clients/format/memory.ts';
import { FRAME_BYTES } from '../../../../clients/format/units.ts';
import type { BackupStore } from '../../store/store.ts';
import { DamageError } from '../coding.ts';
import { keys } from '../keys.ts';
import type { MapTables, PackPlace } from './map.ts';
import { type IndexedFrame, readPackIndex } from './pack.ts';

/**
 * Ids of a map's packs that are gone or damaged. Reads all of them, one by one: frames are compared
 * with the digests in their packs' indexes, whoever needs them.
 */
export async function damagedPacks(
  store: BackupStore,
  prefix: string,
  { packs, pageSizeBytes }: Pick<MapTables, 'packs' | 'pageSizeBytes'>,
  signal: AbortSignal,
): Promise<string[]> {
  const damaged: string[] = [];
  for (const pack of packs) {
    // One more, so that a pack which is too long is told from a sound one.
    const range = { offset: 0, length: pack.sizeBytes + 1 };
    const bytes = await store.get(keys.pack(prefix, pack.id), range, signal);
    if (!bytes || !(await isSound(bytes, pack, pageSizeBytes))) damaged.push(pack.id);
    if (bytes) release(bytes);
  }
  return damaged;
}

async function isSound(bytes: Buffer, pack: PackPlace, pageSizeBytes: number): Promise<boolean> {
  if (bytes.length !== pack.sizeBytes) return false;
  try {
    for (const [offset, frame] of readPackIndex(bytes.subarray(pack.indexOffset), pack.id)) {
      const stored = bytes.subarray(offset, offset + frame.storedBytes);
      if (!(await holds(frame, stored, pageSizeBytes))) return false;
    }
    return true;
  } catch (error) {
    if (error instanceof DamageError) return false;
    throw error;
  }
}

/** Whether a frame's stored bytes are what its pack's index says. */
export async function holds(
  { codec, storedBytes, rawBytes, digests, check }: IndexedFrame,
  stored: Buffer,
  pageSizeBytes: number,
): Promise<boolean> {
  if (stored.length !== storedBytes) return false;
  if (codec === FrameCodec.sealed) return check !== undefined && digest(stored).equals(check);
  if (rawBytes > FRAME_BYTES) return false;
  try {
    const pages = await unpackFrame(codec, stored, rawBytes);
    return pageDigests(pages, pageSizeBytes).equals(digests);
  } catch (error) {
    if (error instanceof FrameError) return false;
    throw error;
  }
}
