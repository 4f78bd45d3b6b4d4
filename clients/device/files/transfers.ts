import { status } from '@grpc/grpc-js';
import { BackscrollError, isReason } from '../../errors.ts';
import { cancelled } from '../../stream-faults.ts';
import type { LocalStore } from '../local/local-store.ts';
import type { LocalMessage } from '../local/message.ts';
import type { FileOptions } from './file-options.ts';
import { isNoRoom } from './file-quota.ts';
import { type FileState, FileStates } from './file-states.ts';
import type { FileStore } from './file-store.ts';
import { fetchContent, isElsewhere, isFinal } from './file-transfer.ts';
import { type FileInit, type UploadInit, uploadFile } from './file-upload.ts';
import { HttpTransfer } from './http-transfer.ts';
import {
  canBeFound,
  type FilePlace,
  fileAt,
  filesOf,
  type MessageFile,
  shardOf,
} from './message-files.ts';
import { type FilePriority, FileRefused, type TransferHandler } from './transfer-handler.ts';
import { TransferPolicy } from './transfer-policy.ts';
import { TransferQueue, Wanted } from './transfer-queue.ts';

/** How often others are asked whether they have ended, in milliseconds. */
const LOOK_AGAIN_MS = 500;

/** Why what is under way ends. */
const CLOSED = 'The device is closed';

/** How often progress is told, in milliseconds. */
const PROGRESS_MS = 200;

interface Active {
  readonly wanted: Wanted;
  readonly controller: AbortController;
  ended: Promise<void>;
}

/**
 * Fetches files of messages, the most urgent first, each content once. What waits is in memory alone:
 * after a restart it begins anew with what is read then.
 */
export class Transfers {
  readonly #store: FileStore;
  readonly #states: FileStates;
  readonly #http = new HttpTransfer();
  readonly #handler: TransferHandler;
  readonly #options: FileOptions;
  readonly #policy: TransferPolicy;
  readonly #onChange: (file: FileState) => void;
  readonly #onProblem: (error: unknown) => void;
  readonly #queue = new TransferQueue();
  readonly #active = new Map<string, Active>();
  #running = false;
  #closed = false;
  #woken = false;
  /** It was told that the folder can't be written, and no file was kept since. */
  #unwritable = false;
  #timer: NodeJS.Timeout | undefined;

  /**
   * `onChange` is told how the state of a file changed, and from time to time how much has come;
   * `onProblem` what the local database failed with, and, once, that the folder can't be written.
   */
  constructor(
    store: FileStore,
    local: LocalStore,
    options: FileOptions,
    onChange: (file: FileState) => void,
    onProblem: (error: unknown) => void,
  ) {
    this.#store = store;
    this.#states = new FileStates(local, store);
    this.#handler = options.transfer ?? this.#http;
    this.#options = options;
    this.#policy = new TransferPolicy(options.decide);
    this.#onChange = onChange;
    this.#onProblem = onProblem;
  }

  /** From now on what waits is fetched, and not only what was asked for. */
  start(): void {
    this.#running = true;
    this.#wake();
  }

  /** Breaks off what nobody asked for; it waits until the next start. */
  async stop(): Promise<void> {
    this.#running = false;
    await this.#abort(({ asked }) => !asked);
  }

  /** Ends all; what was asked for fails with CANCELLED. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#abort(() => true);
    for (const { asked } of this.#queue.removeIf(() => true)) asked?.reject(cancelled(CLOSED));
    this.#http[Symbol.dispose]();
  }

  /** A message was read: those of its files that are not there are fetched, if that is decided. */
  seen(message: LocalMessage): void {
    for (const file of filesOf(message)) this.#want(file);
    this.#wake();
  }

  /** The person looks at these messages, and at no others. */
  showing(messages: readonly LocalMessage[]): void {
    this.#policy.showing(messages);
    const left = this.#queue.removeIf((wanted) => {
      if (wanted.asked) return false;
      wanted.priority = this.#policy.priorityOf(wanted.files);
      return !this.#policy.allows(wanted.file.request, wanted.priority);
    });
    for (const { files } of left) this.#tellSettled(files);
    for (const message of messages) this.seen(message);
  }

  /** Where a file is. */
  state(message: LocalMessage, position: number): FileState {
    const file = fileAt(message, position);
    const wanted = this.#wanted(file.key);
    return wanted ? this.#stateOf(wanted, file.place) : this.#states.of(file);
  }

  /** Fetches a file, before all that nobody asked for. */
  async fetch(message: LocalMessage, position: number): Promise<FileState> {
    const file = fileAt(message, position);
    const here = this.#states.of(file);
    if (here.state === 'present') return here;
    if (this.#closed) throw cancelled(CLOSED);
    if (!canBeFound(file)) throw notSent();
    if (!this.#policy.allows(file.request, 'asked')) {
      throw new FileRefused('The file is not wanted', 'FILE_NOT_WANTED');
    }
    const wanted = this.#wanted(file.key) ?? this.#enqueue(file, 'asked');
    wanted.join(file);
    wanted.priority = 'asked';
    wanted.asked ??= Promise.withResolvers();
    this.#wake();
    await wanted.asked.promise;
    return this.#states.of(file);
  }

  /** Uploads a file, and keeps its content. */
  upload(path: string, init: UploadInit, signal: AbortSignal): Promise<FileInit> {
    return uploadFile(this.#store, this.#handler, path, init, signal);
  }

  #want(file: MessageFile): void {
    const priority = this.#policy.priorityOf([file]);
    const wanted = this.#wanted(file.key);
    if (wanted) {
      if (priority === 'shown' && !wanted.asked) wanted.priority = priority;
      if (wanted.join(file)) this.#tell(this.#stateOf(wanted, file.place));
      return;
    }
    const { state, receivedBytes } = this.#states.of(file);
    if (state !== 'absent' || !canBeFound(file)) return;
    const request = { ...file.request, sizeBytes: file.request.sizeBytes || receivedBytes };
    if (this.#policy.allows(request, priority)) this.#enqueue(file, priority);
  }

  #enqueue(file: MessageFile, priority: FilePriority): Wanted {
    const wanted = new Wanted(file, priority, this.#store.partBytes(file.key));
    const left = this.#queue.add(wanted);
    this.#tellWanted(wanted);
    for (const { files } of left) this.#tellSettled(files);
    return wanted;
  }

  /** Begins what may begin, soon: whoever reads does not wait for it. */
  #wake(): void {
    if (this.#woken) return;
    this.#woken = true;
    queueMicrotask(() => {
      this.#woken = false;
      const { maxTransfers = 3 } = this.#options;
      while (!this.#closed && this.#active.size < maxTransfers) {
        const wanted = this.#next();
        if (!wanted) return;
        this.#begin(wanted);
      }
    });
  }

  #next(): Wanted | undefined {
    const locked = new Set(Array.from(this.#active.keys(), shardOf));
    return this.#queue.take(({ asked, held, key }) => {
      if (held || locked.has(shardOf(key))) return false;
      return this.#running || asked !== undefined;
    });
  }

  #begin(wanted: Wanted): void {
    const controller = new AbortController();
    const active = { wanted, controller, ended: Promise.resolve() };
    this.#active.set(wanted.key, active);
    active.ended = this.#run(wanted, controller.signal).catch(this.#onProblem);
  }

  async #run(wanted: Wanted, signal: AbortSignal): Promise<void> {
    let failed: { readonly error: unknown } | undefined;
    try {
      await this.#fetch(wanted, signal);
    } catch (error) {
      failed = { error };
    }
    this.#active.delete(wanted.key);
    wanted.fetching = false;
    // What has to wait made nothing free: two of them would else take turns.
    if (!failed || !this.#hasToWait(failed.error)) this.#queue.release();
    if (failed) this.#failed(wanted, failed.error, signal);
    else {
      this.#unwritable = false;
      this.#tellSettled(wanted.files);
      wanted.asked?.resolve();
    }
    this.#wake();
  }

  async #fetch(wanted: Wanted, signal: AbortSignal): Promise<void> {
    const { file } = wanted;
    const { key, sha256, request } = file;
    const { stallMs = 30_000 } = this.#options;
    let toldAtMs = Date.now();
    try {
      const came = await fetchContent({
        ...{ store: this.#store, handler: this.#handler, key, sha256, stallMs, signal },
        file: { ...request, priority: wanted.priority },
        onSize: (sizeBytes) => {
          wanted.sizeBytes = sizeBytes;
        },
        wanted: (sizeBytes) => this.#policy.allows({ ...request, sizeBytes }, wanted.priority),
        onBegin: () => {
          wanted.fetching = true;
          this.#tellWanted(wanted);
        },
        onProgress: (receivedBytes) => {
          wanted.receivedBytes = receivedBytes;
          const nowMs = Date.now();
          if (nowMs - toldAtMs < PROGRESS_MS) return;
          toldAtMs = nowMs;
          this.#tellWanted(wanted);
        },
      });
      const learnt = sha256 === undefined ? { sha256: came, failure: null } : undefined;
      this.#states.put(wanted.files, learnt);
    } catch (error) {
      if (isFinal(error)) this.#states.put(wanted.alike, { sha256: null, failure: error.reason });
      throw error;
    }
  }

  /** Whether a transfer failed that can go on once another ends, here or in another process. */
  #hasToWait(error: unknown): boolean {
    return isElsewhere(error) || (isNoRoom(error) && this.#active.size > 0);
  }

  #failed(wanted: Wanted, error: unknown, signal: AbortSignal): void {
    const waits = this.#hasToWait(error);
    const { others, priority } = wanted;
    const unwritable = isReason(error, 'FOLDER_UNWRITABLE');
    const sources = unwritable
      ? []
      : others.filter(({ request }) => this.#policy.allows(request, priority));
    if (unwritable) this.#leaveAll(error);
    if (this.#closed) {
      wanted.asked?.reject(cancelled(CLOSED));
    } else if (!isFinal(error) && (waits || signal.aborted)) {
      wanted.held = waits;
      if (isElsewhere(error)) this.#lookAgain();
      this.#requeue(wanted);
    } else {
      const left = wanted.files.filter((file) => !sources.includes(file));
      this.#tellSettled(left, error instanceof BackscrollError ? error.reason : codeOf(error));
      // Who tells a wrong url must not keep the file from those who tell the right one.
      wanted.files = sources;
      if (sources.length > 0) this.#requeue(wanted);
      else wanted.asked?.reject(error);
    }
  }

  /** Nothing can be kept: what waits is left until its messages are read again. */
  #leaveAll(error: BackscrollError): void {
    for (const { files } of this.#queue.removeIf(({ asked }) => !asked)) {
      this.#tellSettled(files, error.reason);
    }
    if (!this.#unwritable) this.#onProblem(error);
    this.#unwritable = true;
  }

  #requeue(wanted: Wanted): void {
    wanted.receivedBytes = this.#store.partBytes(wanted.key);
    this.#queue.add(wanted);
    this.#tellWanted(wanted);
  }

  #lookAgain(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#queue.release();
      this.#wake();
    }, LOOK_AGAIN_MS);
  }

  async #abort(which: (wanted: Wanted) => boolean): Promise<void> {
    const some = [...this.#active.values()].filter(({ wanted }) => which(wanted));
    for (const { controller } of some) controller.abort();
    await Promise.all(some.map(({ ended }) => ended));
  }

  #wanted(key: string): Wanted | undefined {
    return this.#queue.get(key) ?? this.#active.get(key)?.wanted;
  }

  #stateOf({ fetching, receivedBytes, sizeBytes }: Wanted, place: FilePlace): FileState {
    const state = fetching ? 'fetching' : 'queued';
    return { ...place, state, receivedBytes, sizeBytes };
  }

  #tellWanted(wanted: Wanted): void {
    for (const { place } of wanted.files) this.#tell(this.#stateOf(wanted, place));
  }

  #tellSettled(files: readonly MessageFile[], reason?: string): void {
    for (const file of files) this.#tell({ ...(reason && { reason }), ...this.#states.of(file) });
  }

  /** Not from here: what a listener throws is its own. */
  #tell(state: FileState): void {
    queueMicrotask(() => {
      if (!this.#closed) this.#onChange(state);
    });
  }
}

function notSent(): BackscrollError {
  return new BackscrollError('The message waits in the outbox, and tells no SHA-256 of the file', {
    code: status.FAILED_PRECONDITION,
    reason: 'NOT_SENT',
  });
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'FILE_FAILED';
}
