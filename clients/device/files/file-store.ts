import { statSync, utimesSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { syncFolder } from '../../backup/new-file.ts';
import { tryLock } from '../local/sqlite.ts';
import { FileQuota } from './file-quota.ts';
import { writingTo } from './folder-fault.ts';
import { shardOf } from './message-files.ts';
import { PartFile } from './part-file.ts';

const QUOTA_BYTES = 1024 ** 3;

/** How exactly it is known when a file was last used, in milliseconds. */
const USE_MS = 60 * 60 * 1_000;

/** A file that is there whole. */
export interface StoredFile {
  readonly path: string;
  readonly sizeBytes: number;
}

/**
 * The bytes of files in a folder, each content once: `ab/cdef…` is the one whose SHA-256 is `abcdef…`
 * in hex; beside it, with `.part`, stands what has come so far of one that is expected. Nobody's names
 * are in its paths. Several processes may use the folder at once.
 */
export class FileStore {
  readonly folder: string;
  readonly quota: FileQuota;
  /** Shards whose names are on disk. */
  readonly #durable = new Set<string>();

  constructor(folder: string, quotaBytes = QUOTA_BYTES) {
    this.folder = folder;
    this.quota = new FileQuota(folder, quotaBytes);
  }

  /** A content that is there. It is used now: it is among the last to be removed. */
  find(sha256: string): StoredFile | undefined {
    const path = this.#pathOf(sha256);
    const stats = statSync(path, { throwIfNoEntry: false });
    if (!stats) return undefined;
    if (Date.now() - stats.mtimeMs > USE_MS) markUsed(path);
    return { path, sizeBytes: stats.size };
  }

  /** How many bytes have come of what is expected under a key. */
  partBytes(key: string): number {
    return statSync(this.#partOf(key), { throwIfNoEntry: false })?.size ?? 0;
  }

  /**
   * Keeps all others, also in other processes, from what comes under keys of the same shard, until it
   * is disposed of; undefined where another does. Its file stays: two could else lock two files of one
   * name. Fails, as all that writes here, with FOLDER_UNWRITABLE.
   */
  lock(key: string): Promise<Disposable | undefined> {
    return writingTo(this.folder, async () => {
      const path = join(this.folder, shardOf(key), 'lock');
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      return tryLock(path);
    });
  }

  /** What has come so far under a key; to be called under its lock. */
  async openPart(key: string): Promise<PartFile> {
    const claim = this.quota.claim(this.#partOf(key), this.partBytes(key));
    try {
      return await writingTo(this.folder, () => PartFile.open(claim, this.folder));
    } catch (error) {
      claim[Symbol.dispose]();
      throw error;
    }
  }

  /** A part is complete: from now on it is the content of its SHA-256. */
  async keep(part: PartFile): Promise<string> {
    const sha256 = part.digest();
    const path = this.#pathOf(sha256);
    await writingTo(this.folder, async () => {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      await part.moveTo(path);
      if (!this.#durable.has(shardOf(sha256))) await syncFolder(this.folder);
    });
    this.#durable.add(shardOf(sha256));
    return sha256;
  }

  #pathOf(key: string): string {
    return join(this.folder, shardOf(key), key.slice(2));
  }

  #partOf(key: string): string {
    return `${this.#pathOf(key)}.part`;
  }
}

function markUsed(path: string): void {
  const now = new Date();
  try {
    utimesSync(path, now, now);
  } catch {
    // It has just gone, or belongs to somebody else: then it goes earlier.
  }
}
