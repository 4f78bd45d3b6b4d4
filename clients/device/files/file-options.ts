import { checkFunction, checkString, checkWhole, invalid } from '../local/checks.ts';
import type { FileRequest, TransferHandler } from './transfer-handler.ts';
import type { FileDecision } from './transfer-policy.ts';

/** How a device fetches and keeps files. */
export interface FileOptions {
  /** Where they are kept; the database's path with `.files` behind it where it is absent. Made where there is none. */
  readonly folder?: string | undefined;
  /** Most bytes that are kept: what was not used for longest goes first; 1 GiB where it is absent. With 0 none are. */
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
  /**
   * A transfer that brings less than 16 KiB in so many milliseconds is begun again, at least 1, less than
   * 2^31; 30,000 where it is absent.
   */
  readonly stallMs?: number | undefined;
}

/** Longest that a timer of Node's waits, in milliseconds. */
const MOST_MS = 2 ** 31 - 1;

/** Refuses options that can't be meant: INVALID_ARGUMENT, reason INVALID_FIELD. */
export function checkFileOptions(options: FileOptions): void {
  const { folder, quotaBytes, maxTransfers, decide, transfer, stallMs } = options;
  if (folder !== undefined) checkString('files.folder', folder);
  if (folder === '') throw invalid('INVALID_FIELD', 'files.folder', 'must not be empty');
  if (quotaBytes !== undefined) checkWhole('files.quotaBytes', quotaBytes, 0);
  if (maxTransfers !== undefined) checkWhole('files.maxTransfers', maxTransfers, 1);
  if (decide !== undefined) checkFunction('files.decide', decide);
  if (transfer !== undefined) checkTransfer(transfer);
  if (stallMs !== undefined) checkWhole('files.stallMs', stallMs, 1, MOST_MS);
}

function checkTransfer(transfer: Partial<TransferHandler> | null): void {
  checkFunction('files.transfer', transfer?.fetch, 'must have a function `fetch`');
  if (transfer?.upload === undefined) return;
  checkFunction('files.transfer', transfer.upload, 'must have a function as its `upload`');
}
