import { createHash, type Hash } from 'node:crypto';
import { SQLITE_HEADER_BYTES } from '../../../../clients/format/sqlite-header.ts';
import { SMALLEST_PAGE_BYTES } from '../../../../clients/format/units.ts';
import { invalidArgument } from '../../../common/errors.ts';
import { databaseUnit, wrongSize } from './accepted-file.ts';
import { BackupDraft } from './backup-draft.ts';
import { PagedUpload } from './paged-upload.ts';
import type { UploadContext, UploadDeclaration, UploadOutcome } from './upload-context.ts';

/**
 * One upload of a plain client: takes the file's bytes in order, stores the pages that the newest
 * backup does not have, and commits. Holds a fixed amount of memory, whatever the file's size.
 */
export class PlainUpload implements AsyncDisposable {
  readonly #declared: UploadDeclaration;
  readonly #context: UploadContext;
  readonly #wholeHash: Hash | undefined;
  readonly #start: Buffer[] = [];
  #receivedBytes = 0;
  #paged: PagedUpload | undefined;

  constructor(declared: UploadDeclaration, context: UploadContext) {
    this.#declared = declared;
    this.#context = context;
    this.#wholeHash = declared.sha256 && createHash('sha256');
  }

  /** Bytes of the file taken so far. */
  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** Bytes stored and durable. */
  get storedBytes(): number {
    return this.#paged?.storedBytes ?? 0;
  }

  /**
   * Takes the next bytes, and returns when it has room for more.
   *
   * @throws ServiceError INVALID_ARGUMENT where they pass the declared size, or begin no database.
   */
  async take(data: Uint8Array): Promise<void> {
    this.#receivedBytes += data.length;
    if (this.#receivedBytes > this.#declared.sizeBytes) throw wrongSize('more');
    this.#wholeHash?.update(data);
    if (this.#paged !== undefined) return this.#paged.take(data);
    this.#start.push(Buffer.from(data));
    const enough = Math.min(SQLITE_HEADER_BYTES, this.#declared.sizeBytes);
    if (this.#receivedBytes >= enough) await this.#begin(Buffer.concat(this.#start.splice(0)));
  }

  /**
   * Commits, once all bytes were taken.
   *
   * @throws ServiceError INVALID_ARGUMENT where bytes are missing or are not those declared.
   */
  async finish(): Promise<UploadOutcome> {
    if (this.#receivedBytes < this.#declared.sizeBytes) throw wrongSize('fewer');
    if (this.#wholeHash?.digest().equals(this.#declared.sha256!) === false) {
      throw invalidArgument(
        'DIGEST_MISMATCH',
        'start.sha256',
        'is not that of the bytes that came',
      );
    }
    return this.#paged!.finish();
  }

  /** Ends what is under way, and returns when its memory is free. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#paged?.[Symbol.asyncDispose]();
  }

  async #begin(start: Buffer): Promise<void> {
    const { opaque, sizeBytes } = this.#declared;
    const pageSizeBytes = opaque ? SMALLEST_PAGE_BYTES : databaseUnit(start, sizeBytes, 'data');
    const draft = await BackupDraft.begin(this.#declared, pageSizeBytes, this.#context);
    this.#paged = new PagedUpload(draft, this.#context.signal);
    await this.#paged.take(start);
  }
}
