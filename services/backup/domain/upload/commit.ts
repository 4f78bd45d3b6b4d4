import { setTimeout as delay } from 'node:timers/promises';
import { aborted, alreadyExists, type ServiceError } from '../../../common/errors.ts';
import { COMMIT_ATTEMPTS, COMMIT_PAUSE_MS, UPLOADS_REMEMBERED } from '../../limits.ts';
import type { BackupStore } from '../../store/store.ts';
import { DamageError } from '../coding.ts';
import { collected, type ReliedMap, type Reuse } from '../collection/reuse.ts';
import { type Backups, hasFailed, type KeptBackup, type Newest } from '../kept/backups.ts';
import { markDeleted } from '../kept/deletion.ts';
import {
  encodeHead,
  type Head,
  type HeadWarning,
  numberOfUpload,
  uploadsUntil,
} from '../kept/head.ts';
import { doubtHeads } from '../kept/notes.ts';
import { keys } from '../keys.ts';

/** What a head says besides its place among the others. */
export type HeadContent = Omit<
  Head,
  'number' | 'deleted' | 'erasure' | 'warnings' | 'lastPassed' | 'earlierUploads'
>;

/** The map that a head relies on, and how that is looked at. */
export interface Relied {
  readonly map: ReliedMap;
  readonly reuse: Reuse;
}

/**
 * Makes the backup of an upload whose packs and map are durable, by writing its head under the
 * number after the highest. Where another upload took that number, the next one serves as well: this
 * upload's root is complete whatever came before it. Where it was this same upload, sent twice at
 * once, that one's backup is the answer.
 *
 * Where the backups were erased since, the head is withdrawn: an erasure takes a number like a head,
 * and deletes the heads below it. So this look at it, after the head was written, misses none. Likewise
 * where what it relies on was found damaged: who finds that marks it first, and then looks for heads.
 *
 * @throws ServiceError ABORTED, reason CONCURRENT_UPLOAD, where others were quicker COMMIT_ATTEMPTS
 * times, or numbers have begun anew, and reasons COLLECTED and ERASED; UNAVAILABLE, reason TAKES_TOO_LONG;
 * ALREADY_EXISTS where the upload's id was used for another file.
 */
export async function commit(
  store: BackupStore,
  backups: Backups,
  since: Newest,
  content: HeadContent,
  relied: Relied,
  signal: AbortSignal,
): Promise<{ backup: KeptBackup; repeated: boolean }> {
  let newest = since;
  for (let attempt = 0; attempt < COMMIT_ATTEMPTS; attempt++) {
    const before = newest;
    const head = headAfter(before, content);
    await relied.reuse.checkTime();
    const pin = await pinBefore(store, backups, before, head, signal);
    const key = keys.head(backups.prefix, head.number);
    const isMade = (await store.put(key, encodeHead(head), signal)) === 'created';
    if (!isMade) await pause(signal);
    let fault = isMade ? await faultOf(backups, before, head, relied, signal) : undefined;
    newest = await backups.newest(signal);
    if (newest.erasure !== since.erasure) fault = erased();
    if (isMade && fault === undefined) {
      return { backup: await mustFind(backups, newest, head.number, signal), repeated: false };
    }
    if (isMade) await withdraw(store, backups, head.number, fault, signal);
    if (pin !== undefined && !mayNeedPin(newest, head.number, isMade)) {
      await store.delete(pin, signal);
    }
    if (fault !== undefined) throw fault;
    const committed = await findUpload(backups, newest, content.uploadId, signal);
    if (committed === undefined) continue;
    checkSameRoot(committed, content);
    return { backup: committed, repeated: true };
  }
  throw concurrent();
}

/**
 * What keeps a head from counting that was just stored: a damaged pack that it relies on;
 * that the backup with its root has failed; or that all heads below were removed, so that meanwhile
 * another upload may have begun at number 1, as if there had never been an erasure.
 */
async function faultOf(
  backups: Backups,
  { highestNumber, backup }: Newest,
  { unchanged, erasure }: Head,
  { map, reuse }: Relied,
  signal: AbortSignal,
): Promise<ServiceError | undefined> {
  if (await reuse.hasDamaged(map)) return collected();
  if (!unchanged && !erasure) return undefined;
  let isInUse = false;
  const base = backup?.head.number ?? highestNumber;
  for await (const entry of backups.heads(highestNumber + 1, signal)) {
    if (entry.number === highestNumber) isInUse = true;
    if (unchanged && entry.number === base && hasFailed(entry)) return collected();
    if (entry.number <= base) break;
  }
  return erasure && !isInUse ? concurrent() : undefined;
}

/**
 * Takes back a head. Where other uploads may count on from its number, that stays in use; but no head
 * may stay that knows of an erasure which is over.
 */
async function withdraw(
  store: BackupStore,
  { prefix }: Backups,
  number: number,
  fault: ServiceError | undefined,
  signal: AbortSignal,
): Promise<void> {
  if (fault?.reason !== 'COLLECTED') return store.delete(keys.head(prefix, number), signal);
  await doubtHeads(store, prefix, signal);
  await markDeleted(store, prefix, number, signal);
}

/** Whether a backup above may have the warning for which the one before was pinned; `isOurs` is withdrawn. */
function mayNeedPin({ highestNumber, highest }: Newest, number: number, isOurs: boolean): boolean {
  return highestNumber !== number || (!isOurs && highest?.warnings?.length !== 0);
}

function concurrent(): ServiceError {
  return aborted('CONCURRENT_UPLOAD', 'other uploads of this database were committed meanwhile');
}

/** The error of an upload whose database was erased since it began. */
export function erased(): ServiceError {
  return aborted('ERASED', 'the backups of the database were deleted meanwhile');
}

function headAfter(newest: Newest, content: HeadContent) {
  const known = newest.highest === undefined ? [] : uploadsUntil(newest.highest);
  const before = newest.backup?.head;
  // Compared with the backup before it, which may be another one than when the upload began.
  const unchanged = content.unchanged && before?.root === content.root;
  const number = newest.highestNumber + 1;
  return {
    ...content,
    unchanged,
    warnings: before === undefined ? [] : warningsOf(content, before),
    lastPassed: lastPassedAt(number, unchanged, newest),
    number,
    deleted: false,
    erasure: newest.erasure,
    earlierUploads: known.slice(0, UPLOADS_REMEMBERED),
  };
}

/** The newest backup that has passed when this one is made: itself, where its root has. */
function lastPassedAt(
  number: number,
  unchanged: boolean,
  { backup, passed }: Newest,
): Head['lastPassed'] {
  if (passed === undefined) return undefined;
  const isSound = unchanged && passed.number === backup?.head.number;
  if (isSound) return { number, atMs: passed.passedAtMs };
  return { number: passed.number, atMs: passed.passedAtMs, createdAtMs: passed.createdAtMs };
}

/** What is strange about a state of a database beside the one before it. */
function warningsOf(content: HeadContent, before: Head): HeadWarning[] {
  const warnings: HeadWarning[] = [];
  if (content.sizeBytes * 2 < before.sizeBytes) warnings.push('shrunk');
  const madeMs = before.databaseCreatedAtMs;
  if (madeMs > 0 && content.databaseCreatedAtMs > madeMs) warnings.push('younger');
  return warnings;
}

/** Pins the backup before one that has a warning. Gives the pin's key, unless it was pinned so already. */
async function pinBefore(
  store: BackupStore,
  { prefix }: Backups,
  { backup }: Newest,
  { warnings = [] }: Head,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (backup === undefined || warnings.length === 0) return undefined;
  const key = keys.note(prefix, backup.head.number, 'pin-warned');
  return (await store.put(key, Buffer.alloc(0), signal)) === 'created' ? key : undefined;
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

/** The backup that was committed just now. */
async function mustFind(
  backups: Backups,
  newest: Newest,
  number: number,
  signal: AbortSignal,
): Promise<KeptBackup> {
  if (newest.backup?.head.number === number) return newest.backup;
  const backup = await backups.numbered(number, signal);
  if (backup === undefined) throw erased();
  return backup;
}
