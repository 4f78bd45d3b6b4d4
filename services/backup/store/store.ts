import { type ServiceError, unavailable } from '../../common/errors.ts';

/** A stored object, as a listing tells of it. */
export interface StoredObject {
  key: string;
  sizeBytes: number;
  /** When it was stored, in milliseconds since 1970-01-01 UTC, by the store's clock. */
  storedAtMs: number;
}

/** Some of an object's bytes. */
export interface ByteRange {
  offset: number;
  /** At least 1. */
  length: number;
}

/** Where in a listing to begin and when to stop. */
export interface ListOptions {
  /** Only keys after this one. */
  startAfter?: string;
  /** How many objects at most, 1 to 1,000. */
  limit: number;
}

/**
 * The only place with state: objects of bytes under keys, each written once, never changed, and
 * deleted some day.
 *
 * Keys are segments of lower-case letters, digits, `-` and `.`, joined by `/`. What was stored is
 * there for every read and listing that begins afterwards.
 *
 * Every method ends within bounded time, and takes a signal that ends it sooner, throwing the
 * signal's reason. A store that is gone, busy or full is UNAVAILABLE with STORE_UNAVAILABLE, after
 * the engine's own retries. The folder or bucket is made when the store is first opened or reached;
 * if it is gone later, that is a store that is gone, and never an empty one.
 */
export interface BackupStore extends AsyncDisposable {
  /** Requests that have not ended, for the metrics. */
  readonly requestsInFlight: number;

  /**
   * Stores bytes, at most 256 MiB, under a key that no object has: `created`, durably; or `exists`,
   * when another's object was there before, which stays as it was. Of several at once exactly one
   * creates. After an error the object may be there or not, but never in part. The bytes must not
   * change before this settles.
   */
  put(key: string, bytes: Buffer, signal: AbortSignal): Promise<'created' | 'exists'>;

  /**
   * Reads an object, or a range of it, into memory of its own; undefined where there is no such
   * object. A range that reaches past the object's end, or begins there, gives what there is of it.
   */
  get(key: string, range: ByteRange | undefined, signal: AbortSignal): Promise<Buffer | undefined>;

  /** Deletes an object, durably; does nothing where there is none. After an error it may be gone or not. */
  delete(key: string, signal: AbortSignal): Promise<void>;

  /** Lists objects whose keys begin with `prefix`, ascending by the keys' bytes. */
  list(prefix: string, options: ListOptions, signal: AbortSignal): Promise<StoredObject[]>;

  /** The time by the store's clock, to the second, in milliseconds since 1970-01-01 UTC. */
  nowMs(signal: AbortSignal): Promise<number>;

  /** Returns when the store can be read and written, as far as one cheap request can tell. */
  check(signal: AbortSignal): Promise<void>;
}

/** The error of a store that is gone, busy or full. */
export function storeUnavailable(cause: unknown): ServiceError {
  return unavailable('STORE_UNAVAILABLE', 'the backup store is gone, busy or full', { cause });
}

/** Whether an error of the system, or of a driver, has this code. */
export function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
