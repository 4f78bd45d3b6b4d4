import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { BackscrollError, isReason } from '../../errors.ts';
import { writingTo } from './folder-fault.ts';
import { FileRefused } from './transfer-handler.ts';

/** A folder is looked through again after this part of the quota was added, and that much more is freed. */
const SLACK = 1 / 16;

/** What tells no size, and may have no end, takes the place of others up to this part of the quota. */
const ENDLESS_SHARE = 1 / 2;

/** A file in the folder. */
interface Kept {
  readonly path: string;
  readonly sizeBytes: number;
  readonly usedAtMs: number;
}

/**
 * Keeps the files in a folder within a number of bytes: before more come, those that nobody used for
 * longest go. Several processes that share the folder each see what the others added as late as after
 * a sixteenth of the quota, by which they may exceed it.
 */
export class FileQuota {
  readonly quotaBytes: number;
  readonly #folder: string;
  readonly #claims = new Set<Claim>();
  /** What the folder held when it was looked through, and was claimed since. */
  #takenBytes = 0;
  #sinceBytes = Infinity;
  /** Counts the claims that have ended. */
  #ended = 0;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(folder: string, quotaBytes: number) {
    this.#folder = folder;
    this.quotaBytes = quotaBytes;
  }

  /**
   * Room for what comes into the file at `path`, where `hereBytes` stand already. As long as it is
   * claimed, it is not removed.
   */
  claim(path: string, hereBytes = 0): Claim {
    const claim = new Claim(path, hereBytes, {
      more: (bytes) => this.#inTurn(() => this.#take(bytes, claim)),
      end: () => {
        if (!this.#claims.delete(claim)) return;
        this.#takenBytes -= claim.aheadBytes;
        this.#ended += 1;
      },
    });
    this.#claims.add(claim);
    return claim;
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(() => writingTo(this.#folder, work));
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async #take(bytes: number, claim: Claim): Promise<void> {
    const fits = () => this.#takenBytes + bytes <= this.quotaBytes;
    const large = claim.endless && claim.wholeBytes + bytes > this.quotaBytes * ENDLESS_SHARE;
    if (!fits() || this.#sinceBytes + bytes > this.quotaBytes * SLACK) {
      const kept = await this.#look();
      if (!fits() && !large) await this.#clear(bytes, kept);
      // What other transfers have claimed may become free.
      const leftBytes = this.quotaBytes - claim.wholeBytes - bytesOf(kept);
      if (!fits() && large && bytes > leftBytes) {
        throw tooLarge('It tells no size, and there is no room left');
      }
    }
    if (!fits()) throw noRoom();
    this.#takenBytes += bytes;
    this.#sinceBytes += bytes;
    claim.aheadBytes += bytes;
  }

  /** Removes what nobody used for longest, if that makes room beside what is claimed. */
  async #clear(bytes: number, kept: Kept[]): Promise<void> {
    if (this.#takenBytes - bytesOf(kept) + bytes > this.quotaBytes) return;
    const goal = this.quotaBytes * (1 - SLACK) - bytes;
    for (const { path, sizeBytes } of kept.sort((a, b) => a.usedAtMs - b.usedAtMs)) {
      if (this.#takenBytes <= goal) return;
      if (this.#isClaimed(path)) continue;
      await rm(path, { force: true });
      this.#takenBytes -= sizeBytes;
    }
  }

  /** What the folder holds besides what is claimed; from now on it is known how much that is. */
  async #look(): Promise<Kept[]> {
    for (;;) {
      const ended = this.#ended;
      const found = await keptIn(this.#folder);
      // What has just been renamed counted twice, or not at all.
      if (this.#ended !== ended) continue;
      const kept = found.filter(({ path }) => !this.#isClaimed(path));
      const claims = [...this.#claims].map(({ wholeBytes }) => wholeBytes);
      const sizes = [...kept.map(({ sizeBytes }) => sizeBytes), ...claims];
      this.#takenBytes = sizes.reduce((sum, each) => sum + each, 0);
      this.#sinceBytes = 0;
      return kept;
    }
  }

  #isClaimed(path: string): boolean {
    return [...this.#claims].some((claim) => claim.path === path);
  }
}

function bytesOf(kept: readonly Kept[]): number {
  return kept.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

/** What a claim asks of its quota. */
interface ClaimedQuota {
  readonly more: (bytes: number) => Promise<void>;
  readonly end: () => void;
}

/** Room that was set aside for one file. */
export class Claim implements Disposable {
  readonly path: string;
  /** Whether nobody tells how much will come. */
  endless = false;
  /** Bytes that were set aside, and did not come yet. */
  aheadBytes = 0;
  /** Bytes that stand in the file. */
  #hereBytes: number;
  readonly #quota: ClaimedQuota;

  /** For the quota's own use. */
  constructor(path: string, hereBytes: number, quota: ClaimedQuota) {
    this.path = path;
    this.#hereBytes = hereBytes;
    this.#quota = quota;
  }

  /** All that the file takes, now or later. */
  get wholeBytes(): number {
    return this.#hereBytes + this.aheadBytes;
  }

  /**
   * Sets aside what `bytes` need. Fails with RESOURCE_EXHAUSTED, reason NO_ROOM, where the quota is
   * claimed for other files, and with FILE_TOO_LARGE where none is free for more of an endless one.
   */
  async reserve(bytes: number): Promise<void> {
    if (bytes > this.aheadBytes) await this.#quota.more(bytes - this.aheadBytes);
  }

  /** These bytes came. */
  async came(bytes: number): Promise<void> {
    await this.reserve(bytes);
    this.aheadBytes -= bytes;
    this.#hereBytes += bytes;
  }

  /** All that stood in the file was thrown away. */
  cleared(): void {
    this.aheadBytes += this.#hereBytes;
    this.#hereBytes = 0;
  }

  [Symbol.dispose](): void {
    this.#quota.end();
  }
}

/** Whether a transfer only has to wait for others. */
export function isNoRoom(error: unknown): boolean {
  return isReason(error, 'NO_ROOM');
}

/** What is larger than the quota never fits. */
export function refuseTooLarge(sizeBytes: number, quotaBytes: number): void {
  if (sizeBytes <= quotaBytes) return;
  throw tooLarge(`It has ${sizeBytes} bytes, and the quota is ${quotaBytes}`);
}

function tooLarge(why: string): FileRefused {
  return new FileRefused(`The file is too large: ${why}`, 'FILE_TOO_LARGE');
}

function noRoom(): BackscrollError {
  return new BackscrollError('Other files take all of the quota', {
    code: status.RESOURCE_EXHAUSTED,
    reason: 'NO_ROOM',
  });
}

async function keptIn(folder: string): Promise<Kept[]> {
  const all: Kept[] = [];
  for (const shard of await readdir(folder)) {
    if (!/^[0-9a-f]{2}$/.test(shard)) continue;
    const names = await readdir(join(folder, shard));
    const kept = names.map((name) => keptAt(join(folder, shard, name)));
    for (const one of await Promise.all(kept)) if (one) all.push(one);
  }
  return all;
}

/** Undefined for what holds nothing, such as a lock, and what has just gone. */
async function keptAt(path: string): Promise<Kept | undefined> {
  try {
    const { size, mtimeMs } = await stat(path);
    return size > 0 ? { path, sizeBytes: size, usedAtMs: mtimeMs } : undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
