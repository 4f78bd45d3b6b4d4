import { setTimeout as delay } from 'node:timers/promises';
import { aborted, alreadyExists, type ServiceError } from '../../common/errors.ts';
import { COMMIT_ATTEMPTS, COMMIT_PAUSE_MS, UPLOADS_REMEMBERED } from '../limits.ts';
import type { BackupStore } from '../store/store.ts';
import type { Backups, KeptBackup, Newest } from './backups.ts';
import { DamageError } from './coding.ts';
import { encodeHead, type Head, numberOfUpload, uploadsUntil } from './head.ts';
import { keys } from './keys.ts';

/** What a head says besides its place among the others. */
export type HeadContent = Omit<Head, 'number' | 'deleted' | 'earlierUploads'>;

/**
 * Makes the backup of an upload whose packs and map are durable, by writing its head under the
 * number after the highest. Where another upload took that number, the next one serves as well: this
 * upload's root is complete whatever came before it. Where it was this same upload, sent twice at
 * once, that one's backup is the answer.
 *
 * @throws ServiceError ABORTED where others were quicker COMMIT_ATTEMPTS times; ALREADY_EXISTS where
 * the upload's id was used for another file.
 */
export async function commit(
  store: BackupStore,
  backups: Backups,
  since: Newest,
  content: HeadContent,
  signal: AbortSignal,
): Promise<{ backup: KeptBackup; repeated: boolean }> {
  let newest = since;
  for (let attempt = 0; attempt < COMMIT_ATTEMPTS; attempt++) {
    const number = newest.highestNumber + 1;
    const known = newest.highest === undefined ? [] : uploadsUntil(newest.highest);
    const earlierUploads = known.slice(0, UPLOADS_REMEMBERED);
    // Compared with the backup before it, which may be another one than when the upload began.
    const unchanged = content.unchanged && newest.backup?.head.root === content.root;
    const head: Head = { ...content, unchanged, number, deleted: false, earlierUploads };
    const key = keys.head(backups.prefix, number);
    if ((await store.put(key, encodeHead(head), signal)) === 'created') {
      return { backup: await mustFind(backups, number, signal), repeated: false };
    }
    await pause(signal);
    newest = await backups.newest(signal);
    const committed = await findUpload(backups, newest, content.uploadId, signal);
    if (committed === undefined) continue;
    checkSameRoot(committed, content);
    return { backup: committed, repeated: true };
  }
  throw aborted('CONCURRENT_UPLOAD', 'other uploads of this database were committed meanwhile');
}

/**
 * The backup that an upload made, among the newest UPLOADS_REMEMBERED; undefined where it made none,
 * or none whose head can be read: such a file is stored anew.
 */
export async function findUpload(
  backups: Backups,
  newest: Newest,
  uploadId: string,
  signal: AbortSignal,
): Promise<KeptBackup | undefined> {
  const number = newest.highest && numberOfUpload(newest.highest, uploadId);
  if (number === undefined) return undefined;
  try {
    return await backups.numbered(number, signal);
  } catch (error) {
    if (error instanceof DamageError) return undefined;
    throw error;
  }
}

/**
 * Checks that a backup is of the same file as an upload with its id.
 *
 * @throws ServiceError ALREADY_EXISTS
 */
export function checkSameRoot(
  { head }: KeptBackup,
  { root, sizeBytes }: Pick<Head, 'root' | 'sizeBytes'>,
): void {
  if (head.root !== root || head.sizeBytes !== sizeBytes) throw uploadIdConflict();
}

/** An upload's id that comes again with another file is a fault of the client that must not pass. */
export function uploadIdConflict(): ServiceError {
  const [field, description] = ['start.upload_id', 'was used before for another file'];
  const fields = [{ field, description }];
  return alreadyExists('UPLOAD_ID_CONFLICT', `${field}: ${description}`, { fields });
}

/** Takes those who commit at once apart. */
async function pause(signal: AbortSignal): Promise<void> {
  const ms = Math.random() * COMMIT_PAUSE_MS;
  await delay(ms, undefined, { signal }).catch(() => signal.throwIfAborted());
}

async function mustFind(
  backups: Backups,
  number: number,
  signal: AbortSignal,
): Promise<KeptBackup> {
  const backup = await backups.numbered(number, signal);
  if (backup === undefined) throw new Error(`backup ${number} is gone right after its commit`);
  return backup;
}
