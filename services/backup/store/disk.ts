import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { access, link, mkdir, open, readdir, rm, rmdir, stat, unlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import {
  type BackupStore,
  type ByteRange,
  hasCode,
  type ListOptions,
  type StoredObject,
  storeUnavailable,
} from './store.ts';

const TEMPORARY = '.tmp';

/** Times that a put makes a folder that others remove: each time something was deleted meanwhile. */
const LINK_ATTEMPTS = 100;

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
    this.#root = resolve(root);
    this.#temporary = join(this.#root, TEMPORARY);
  }

  get requestsInFlight(): number {
    return this.#requestsInFlight;
  }

  /** Opens the folder, makes it where it is absent, and removes what a crash left half written. */
  static async open(root: string): Promise<DiskStore> {
    const store = new DiskStore(root);
    await rm(store.#temporary, { recursive: true, force: true });
    // Nobody else's on the machine; a folder that is there keeps its rights.
    await mkdir(store.#temporary, { recursive: true, mode: 0o700 });
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
        signal.throwIfAborted();
        await this.#link(temporary, path);
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

  delete(key: string, signal: AbortSignal): Promise<void> {
    return this.#guarded(signal, async () => {
      await this.#mustBeThere();
      const path = join(this.#root, key);
      try {
        await unlink(path);
      } catch (error) {
        if (isAbsent(error)) return;
        throw error;
      }
      await this.#flushOrRemove(dirname(path));
    });
  }

  list(prefix: string, options: ListOptions, signal: AbortSignal): Promise<StoredObject[]> {
    return this.#guarded(signal, async () => {
      await this.#mustBeThere();
      const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1);
      const found: StoredObject[] = [];
      let some: string[] = [];
      const describeSome = async () => {
        signal.throwIfAborted();
        const described = await Promise.all(some.map((key) => this.#describe(key)));
        found.push(...described.filter((object) => object !== undefined));
        some = [];
      };
      for await (const key of this.#keys(folder, prefix, options.startAfter ?? '')) {
        some.push(key);
        if (found.length + some.length === options.limit) await describeSome();
        if (found.length === options.limit) break;
      }
      await describeSome();
      return found;
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

  /** Undefined where it was deleted meanwhile. */
  async #describe(key: string): Promise<StoredObject | undefined> {
    try {
      const { size, mtimeMs } = await stat(join(this.#root, key));
      return { key, sizeBytes: size, storedAtMs: Math.floor(mtimeMs) };
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw error;
    }
  }

  /** Keys that begin with `prefix` and come after another, in and below a folder, ascending by their bytes. */
  async *#keys(folder: string, prefix: string, after: string): AsyncGenerator<string, void> {
    for (const name of await this.#names(folder)) {
      const path = `${folder}${name}`;
      if (!path.startsWith(prefix) && !prefix.startsWith(path)) continue;
      if (!name.endsWith('/')) {
        if (path > after) yield path;
      } else if (path > after || after.startsWith(path)) {
        yield* this.#keys(path, prefix, after);
      }
    }
  }

  /** Names in a folder, ascending by their bytes; those of folders end in a slash. */
  async #names(folder: string): Promise<string[]> {
    try {
      const entries = await readdir(join(this.#root, folder), { withFileTypes: true });
      return entries
        .filter(({ name }) => name !== TEMPORARY)
        .map((entry) => (entry.isFile() ? entry.name : `${entry.name}/`))
        .sort();
    } catch (error) {
      if (isAbsent(error)) return [];
      throw error;
    }
  }

  /** Gives a file its name, in a folder that is made for it. */
  async #link(temporary: string, path: string): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#makeFolder(dirname(path));
        return await link(temporary, path);
      } catch (error) {
        // Whoever deletes the last file of a folder removes that, perhaps just now.
        if (!isAbsent(error) || attempt === LINK_ATTEMPTS) throw error;
      }
    }
  }

  /** Makes it durable that a file is gone from a folder, which goes with it where it is empty. */
  async #flushOrRemove(folder: string): Promise<void> {
    let path = folder;
    while (path !== this.#root && (await removeIfEmpty(path))) path = dirname(path);
    await flushFolder(path);
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

/** Makes the names in a folder durable. One that is gone has none: whoever removed it has seen to that. */
async function flushFolder(path: string): Promise<void> {
  // Windows can't open a folder, and keeps its names in a journal.
  if (process.platform === 'win32') return;
  try {
    await using folder = await open(path, 'r');
    await folder.sync();
  } catch (error) {
    if (!isAbsent(error)) throw error;
  }
}

/** Whether a folder is gone now. */
async function removeIfEmpty(path: string): Promise<boolean> {
  try {
    await rmdir(path);
    return true;
  } catch (error) {
    if (isAbsent(error)) return true;
    if (hasCode(error, 'ENOTEMPTY') || hasCode(error, 'EEXIST')) return false;
    throw error;
  }
}

function isAbsent(error: unknown): boolean {
  return hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR');
}
