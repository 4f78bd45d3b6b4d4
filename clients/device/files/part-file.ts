import { createHash } from 'node:crypto';
import { type FileHandle, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncFolder } from '../../backup/new-file.ts';
import type { Claim } from './file-quota.ts';
import { writingTo } from './folder-fault.ts';

const READ_BYTES = 256 * 1024;

/** Where the bytes of a part come from. */
export interface Origin {
  readonly url: string;
  readonly validator: string | undefined;
}

/**
 * A file that comes piece by piece, and stays when its process ends: the next one goes on behind what
 * is there. Beside it, under the same name with `.from`, stands where its bytes come from. To be used
 * by one at a time, under its shard's lock.
 */
export class PartFile implements AsyncDisposable {
  /** Bytes that are there. */
  sizeBytes = 0;
  /** Where they come from; undefined where that is not known. */
  origin: Origin | undefined;
  /** Whether they came in several pieces, which need not fit together. */
  pieced = false;
  readonly claim: Claim;
  readonly #folder: string;
  readonly #file: FileHandle;
  #hash = createHash('sha256');
  #open = true;

  private constructor(claim: Claim, folder: string, file: FileHandle) {
    this.claim = claim;
    this.#folder = folder;
    this.#file = file;
  }

  /**
   * Opens the part at the claim's path, whose shard exists in the folder of files; makes an empty one
   * where there is none.
   */
  static async open(claim: Claim, folder: string): Promise<PartFile> {
    const part = new PartFile(claim, folder, await open(claim.path, 'a+', 0o600));
    try {
      await part.#readBack();
      return part;
    } catch (error) {
      await part[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Throws away what is there; the first piece comes from `origin`. */
  async begin(origin: Origin): Promise<void> {
    await this.clear();
    const path = `${this.claim.path}.from`;
    await this.#write(() => writeFile(path, JSON.stringify(origin), { mode: 0o600 }));
    this.origin = origin;
  }

  /** One more piece comes, from `offset` on: it must begin where the last one ended. */
  goOn(offset: number): void {
    if (offset !== this.sizeBytes) throw new RangeError(`A piece begins at ${offset}`);
    this.pieced = true;
  }

  /** Puts bytes at the end; fails as `Claim.came` where there is no room. */
  async append(bytes: Uint8Array): Promise<void> {
    await this.claim.came(bytes.length);
    await this.#write(() => this.#file.appendFile(bytes));
    this.#hash.update(bytes);
    this.sizeBytes += bytes.length;
  }

  /** SHA-256 of what is there, in hex. */
  digest(): string {
    return this.#hash.copy().digest('hex');
  }

  /** Throws away what is there. */
  async clear(): Promise<void> {
    await this.#write(() => this.#file.truncate(0));
    this.claim.cleared();
    this.sizeBytes = 0;
    this.origin = undefined;
    this.pieced = false;
    this.#hash = createHash('sha256');
  }

  /** It is complete: gives it another name, durably. Its folder exists. */
  async moveTo(path: string): Promise<void> {
    await this.#file.sync();
    await this.#close();
    await rename(this.claim.path, path);
    await syncFolder(dirname(path));
    await rm(`${this.claim.path}.from`, { force: true });
  }

  /** Closes it; an empty one is removed, where that can be done. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.claim[Symbol.dispose]();
    if (!this.#open) return;
    await this.#close();
    if (this.sizeBytes > 0) return;
    const { path } = this.claim;
    await Promise.allSettled([path, `${path}.from`].map((one) => rm(one, { force: true })));
  }

  #write(work: () => Promise<void>): Promise<void> {
    return writingTo(this.#folder, work);
  }

  async #close(): Promise<void> {
    this.#open = false;
    await this.#file.close();
  }

  /** Takes over what another process left. */
  async #readBack(): Promise<void> {
    const buffer = Buffer.allocUnsafe(READ_BYTES);
    for (;;) {
      const { bytesRead } = await this.#file.read(buffer, 0, buffer.length, this.sizeBytes);
      if (bytesRead === 0) break;
      this.#hash.update(buffer.subarray(0, bytesRead));
      this.sizeBytes += bytesRead;
    }
    if (this.sizeBytes === 0) return;
    this.pieced = true;
    this.origin = await originAt(`${this.claim.path}.from`);
  }
}

/** Undefined for one that is missing or was not written whole. */
async function originAt(path: string): Promise<Origin | undefined> {
  try {
    const { url, validator } = JSON.parse(await readFile(path, 'utf8')) as Partial<Origin>;
    return typeof url === 'string' ? { url, validator } : undefined;
  } catch {
    return undefined;
  }
}
