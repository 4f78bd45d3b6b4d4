import { invalid } from '../local/checks.ts';
import type { FileRequest, TransferHandler } from './transfer-handler.ts';
import type { FileDecision } from './transfer-policy.ts';

/** How a device fetches and keeps files. */
export interface FileOptions {
  /** Where they are kept; the database's path with `.files` behind it where it is absent. Made where there is none. */
  readonly folder?: string | undefined;
  /** Most bytes that are kept: what was not used for longest goes first; 1 GiB where it is absent. */
  readonly quotaBytes?: number | undefined;
  /** How many are fetched at once, at least 1; 3 where it is absent. */
  readonly maxTransfers?: number | undefined;
  /**
   * Decides what becomes of a file that is not there, whenever its message is read; `decideByDefault`
   * where it is absent. Where the message tells no size, it is called again once the size is known, and
   * until then with every piece that comes.
   */
  readonly decide?: ((file: FileRequest) => FileDecision) | undefined;
  /** Moves the bytes; where it is absent, files are fetched by HTTP and HTTPS, and none are uploaded. */
  readonly transfer?: TransferHandler | undefined;
  /** A transfer that brings less than 16 KiB in so many milliseconds is begun again; 30,000 where it is absent. */
  readonly stallMs?: number | undefined;
}

/** Refuses options with which no file would ever come: INVALID_ARGUMENT, reason INVALID_FIELD. */
export function checkFileOptions({ maxTransfers = 1 }: FileOptions): void {
  if (maxTransfers >= 1) return;
  throw invalid('INVALID_FIELD', 'files.maxTransfers', 'must be at least 1');
}
