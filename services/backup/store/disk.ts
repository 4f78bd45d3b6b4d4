import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { access, link, mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  type BackupStore,
  type ByteRange,
  hasCode,
  type ListOptions,
  type StoredObject,
  storeUnavailable,
} from './store.ts';

const TEMPORARY = '.tmp';

/**
 * A store in a folder of one machine, for one process at a time. An object is a file; it is written
 * under a temporary name, flushed, and then linked to its own, which fails where that is taken.
 */
export class DiskStore implements BackupStore {
  readonly #root: string;
  readonly #temporary: string;
  /** The file system that the folder was on at the start. */
  #device = 0;
  #requestsInFlight = 0;

  private constructor(root: string) {
    this.#root = root;
    this.#temporary = join(root, TEMPORARY);
  }

  get requestsInFlight(): number {
    return this.#requestsInFlight;
  }

  /** Opens the folder, makes it where it is absent, and removes what a crash left half written. */
  static async open(root: string): Promise<DiskStore> {
    const store = new DiskStore(root);
    await rm(store.#temporary, { recursive: true, force: true });
    await mkdir(store.#temporary, { recursive: true });
    store.#device = (await stat(root)).dev;
    return store;
  }

  put(key: string, bytes: Buffer, signal: AbortSignal): Promise<'created' | 'exists'> {
    return this.#guarded(signal, async () => {
      await this.#mustBeThere();
      const temporary = join(this.#temporary, randomUUID());
      try {
        await writeDurably(temporary, bytes, signal);
        const path = join(this.#root, key);
        await this.#makeFolder(dirname(path));
        signal.throwIfAborted();
        await link(temporary, path);
        await flushFolder(dirname(path));
        return 'created';
      } catch (error) {
        if (hasCode(error, 'EEXIST')) return 'exists';
        throw error;
      } finally {
        await rm(temporary, { force: true });
      }
    });
  }

  get(key: string, range: ByteRange | undefined, signal: AbortSignal): Promise<Buffer | undefined> {
    return this.#guarded(signal, async () => {
      try {
        await using file = await open(join(this.#root, key), 'r');
        const { size } = await file.stat();
        const offset = Math.min(range?.offset ?? 0, size);
        const bytes = Buffer.allocUnsafe(Math.min(range?.length ?? size, size - offset));
        let read = 0;
        while (read < bytes.length) {
          signal.throwIfAborted();
          const { bytesRead } = await file.read(bytes, read, bytes.length - read, offset + read);
          if (bytesRead === 0) break;
          read += bytesRead;
        }
        return bytes.subarray(0, read);
      } catch (error) {
        if (!isAbsent(error)) throw error;
        await this.#mustBeThere();
        return undefined;
      }
    });
  }

  list(prefix: string, options: ListOptions, signal: AbortSignal): Promise<StoredObject[]> {
    return this.#guarded(signal, async () => {
      await this.#mustBeThere();
      const after = options.startAfter ?? '';
      const keys = await this.#keys(prefix.slice(0, prefix.lastIndexOf('/') + 1));
      const wanted = keys.filter((key) => key.startsWith(prefix) && key > after).sort();
      return Promise.all(wanted.slice(0, options.limit).map((key) => this.#describe(key)));
    });
  }

  nowMs(): Promise<number> {
    return Promise.resolve(Date.now());
  }

  check(signal: AbortSignal): Promise<void> {
    return this.#guarded(signal, async () => {
      await this.#mustBeThere();
      await access(this.#temporary, constants.R_OK | constants.W_OK);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  /**
   * Throws where the folder is gone, or what was mounted there. A folder that somebody made again is
   * taken as it is.
   */
  async #mustBeThere(): Promise<void> {
    try {
      await access(this.#temporary);
      return;
    } catch (error) {
      if (!isAbsent(error)) throw error;
    }
    if ((await stat(this.#root)).dev !== this.#device) throw new Error('the folder is unmounted');
    await mkdir(this.#temporary).catch((error: unknown) => {
      if (!hasCode(error, 'EEXIST')) throw error;
    });
  }

  async #guarded<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    this.#requestsInFlight += 1;
    try {
      return await work();
    } catch (error) {
      signal.throwIfAborted();
      throw storeUnavailable(error);
    } finally {
      this.#requestsInFlight -= 1;
    }
  }

  async #describe(key: string): Promise<StoredObject> {
    const { size, mtimeMs } = await stat(join(this.#root, key));
    return { key, sizeBytes: size, storedAtMs: Math.floor(mtimeMs) };
  }

  /** Keys of all objects in and below a folder. */
  async #keys(folder: string): Promise<string[]> {
    try {
      const entries = await readdir(join(this.#root, folder), { withFileTypes: true });
      const keys = entries.map((entry) => {
        if (entry.isFile()) return [`${folder}${entry.name}`];
        return entry.name === TEMPORARY ? [] : this.#keys(`${folder}${entry.name}/`);
      });
      return (await Promise.all(keys)).flat();
    } catch (error) {
      if (isAbsent(error)) return [];
      throw error;
    }
  }

  /** Makes a folder and those above it, and flushes the folders that got a new entry. */
  async #makeFolder(path: string): Promise<void> {
    const first = await mkdir(path, { recursive: true });
    if (first === undefined) return;
    for (let made = path; made.length >= first.length; made = dirname(made)) {
      await flushFolder(dirname(made));
    }
  }
}

async function writeDurably(path: string, bytes: Buffer, signal: AbortSignal): Promise<void> {
  await using file = await open(path, 'wx');
  await file.writeFile(bytes, { signal });
  await file.sync();
}

/** Makes the names in a folder durable. */
async function flushFolder(path: string): Promise<void> {
  // Windows can't open a folder, and keeps its names in a journal.
  if (process.platform === 'win32') return;
  await using folder = await open(path, 'r');
  await folder.sync();
}

function isAbsent(error: unknown): boolean {
  return hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR');
}
