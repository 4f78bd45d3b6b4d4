import { status } from '@grpc/grpc-js';
import { BackscrollError } from '../../errors.ts';
import type { ConversationName } from '../local/message.ts';

/**
 * Why a file is to be fetched: the person asked for it (`fetchFile`), is looking at its message
 * (`showing`), or its message was read.
 */
export type FilePriority = 'asked' | 'shown' | 'read';

/** A file that a message carries, and why it is to be fetched now. All but the priority is its sender's word. */
export interface FileRequest {
  readonly conversation: ConversationName;
  readonly sender: string;
  /** Milliseconds since 1970-01-01 UTC. */
  readonly sentAtMs: number;
  readonly url: string;
  readonly name: string;
  /** Such as `image/jpeg`; empty for unknown. */
  readonly mediaType: string;
  /** As long as nobody tells it, what has come so far; 0 for nothing. */
  readonly sizeBytes: number;
  readonly priority: FilePriority;
}

/** From where on a file is fetched. */
export interface FetchOptions {
  /** Bytes that are there already. */
  readonly offset: number;
  /** What `FetchedFile.validator` was when these came; undefined where there was none, or `offset` is 0. */
  readonly validator: string | undefined;
  /** Fires when nobody wants the rest any more; what the handler holds must then be freed. */
  readonly signal: AbortSignal;
}

/** A file as it comes. */
export interface FetchedFile {
  /** Where `body` begins: the offset that was asked for, or 0 where it can't go on there. */
  readonly offset: number;
  /** Size of the whole; undefined where it is not known before the end. */
  readonly sizeBytes: number | undefined;
  /** Differs whenever the file's bytes do; undefined where nothing does. */
  readonly validator: string | undefined;
  readonly body: AsyncIterable<Uint8Array>;
}

/** A file to upload. */
export interface UploadRequest {
  readonly path: string;
  readonly name: string;
  readonly mediaType: string;
  readonly sizeBytes: number;
  readonly sha256: Uint8Array;
}

/** How an upload ends early, and is watched. */
export interface UploadOptions {
  /** Fires when the device is closed. */
  readonly signal: AbortSignal;
  /** To be told how many bytes were sent. */
  readonly onProgress: (sentBytes: number) => void;
}

/**
 * Moves the bytes of files. `fetch` fails with a `FileRefused` where trying again is no use, with a
 * `BackscrollError` of UNAVAILABLE where it is tried again soon, and with anything else where it is
 * tried again when the message is next read. What it is given was sent by anybody: a url may point
 * anywhere.
 */
export interface TransferHandler {
  fetch(file: FileRequest, options: FetchOptions): Promise<FetchedFile>;
  /** Uploads a file; resolves to the url for others to fetch it from. */
  upload?(file: UploadRequest, options: UploadOptions): Promise<string>;
}

/** A file can not be had, and is not asked for again but by `fetchFile`. */
export class FileRefused extends BackscrollError {
  constructor(message: string, reason: string, code: number = status.FAILED_PRECONDITION) {
    super(message, { code, reason });
  }
}

/** A file can not be had now: UNAVAILABLE, reason FILE_UNREACHABLE. */
export function unreachable(message: string, cause?: unknown): BackscrollError {
  return new BackscrollError(message, {
    code: status.UNAVAILABLE,
    reason: 'FILE_UNREACHABLE',
    cause,
  });
}
