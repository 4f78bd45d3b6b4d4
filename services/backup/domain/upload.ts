import { createHash, type Hash } from 'node:crypto';
import {
  changeUnit,
  SQLITE_HEADER_BYTES,
  sqlitePageSize,
} from '../../../clients/format/sqlite-header.ts';
import { SMALLEST_PAGE_BYTES } from '../../../clients/format/units.ts';
import { invalidArgument } from '../../common/errors.ts';
import {
  PagedUpload,
  type UploadContext,
  type UploadDeclaration,
  type UploadOutcome,
} from './paged-upload.ts';

/**
 * One upload of a plain client: takes the file's bytes in order, stores the pages that the newest
 * backup does not have, and commits. Holds a fixed amount of memory, whatever the file's size.
 */
export class Upload implements AsyncDisposable {
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
    if (this.#receivedBytes > this.#declared.sizeBytes) throw this.#wrongSize('more');
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
    if (this.#receivedBytes < this.#declared.sizeBytes) throw this.#wrongSize('fewer');
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
    const pageSizeBytes = this.#declared.opaque ? SMALLEST_PAGE_BYTES : this.#databaseUnit(start);
    this.#paged = await PagedUpload.begin(this.#declared, pageSizeBytes, this.#context);
    await this.#paged.take(start);
  }

  #databaseUnit(start: Buffer): number {
    const pageBytes = sqlitePageSize(start);
    if (pageBytes === undefined) throw noDatabase('begins with no SQLite header');
    if (this.#declared.sizeBytes % pageBytes !== 0) {
      throw noDatabase('has a size that is no multiple of the SQLite page size in its header');
    }
    return changeUnit(pageBytes);
  }

  #wrongSize(how: 'more' | 'fewer') {
    return invalidArgument('SIZE_MISMATCH', 'start.size_bytes', `${how} bytes came than declared`);
  }
}

function noDatabase(why: string) {
  return invalidArgument('NOT_A_DATABASE', 'data', `${why}, and was not declared opaque`);
}
