import { type ChildProcess, fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { on, once } from 'node:events';
import { rm } from 'node:fs/promises';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { status } from '@grpc/grpc-js';
import { BackscrollError } from '../errors.ts';
import { cancelled } from '../stream-faults.ts';
import type { CheckKind, Failure, Faults, Job, Told } from './sqlite-jobs.ts';

/** From this version on Node has all of SQLite that is needed here. */
const OLDEST_NODE = 24;

/** Whether this Node has SQLite. */
export const hasSqlite = Number.parseInt(process.versions.node, 10) >= OLDEST_NODE;

/** Refuses a Node that has no SQLite: FAILED_PRECONDITION, reason NODE_TOO_OLD. */
export function requireSqlite(what: string): void {
  if (hasSqlite) return;
  const message = `${what} needs Node ${OLDEST_NODE} or newer; this is ${process.versions.node}`;
  throw new BackscrollError(message, { code: status.FAILED_PRECONDITION, reason: 'NODE_TOO_OLD' });
}

/** How far a copy has come. */
export interface CopyProgress {
  /** Bytes of the database copied. */
  readonly copiedBytes: number;
  /** Bytes of the database in all. */
  readonly sizeBytes: number;
}

/**
 * SQLite in a process of its own, with a new folder that only this user may read. A process of its
 * own, because the locks by which SQLite keeps programs apart are a process's: opened by two
 * libraries in one process, or read by it as a plain file, a database loses them, and is torn. Also,
 * it can be stopped at any moment, and what it makes is removed even when this process is killed.
 */
export class SqliteProcess implements AsyncDisposable {
  /** The folder; removed with the process. */
  readonly folder: string;
  readonly #child: ChildProcess;
  readonly #signal: AbortSignal | undefined;

  private constructor(prefix: string, signal: AbortSignal | undefined) {
    this.folder = `${prefix}${randomUUID()}`;
    this.#signal = signal;
    const jobs = new URL(`./sqlite-jobs${extname(import.meta.url)}`, import.meta.url);
    this.#child = fork(fileURLToPath(jobs), [this.folder], {
      execArgv: [],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      killSignal: 'SIGKILL',
      ...(signal && { signal }),
    });
    // Those that matter reach whoever waits for an answer.
    this.#child.on('error', () => {});
  }

  /**
   * Starts one. The folder's path begins with `prefix`. A `signal` that fires ends it at once, and
   * then everything asked of it fails with CANCELLED.
   */
  static async start(prefix: string, signal?: AbortSignal): Promise<SqliteProcess> {
    const started = new SqliteProcess(prefix, signal);
    try {
      await started.#answer(started.folder);
      return started;
    } catch (error) {
      await started[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Copies a database as one transaction sees it to `to`, where no file is. */
  async copy(from: string, to: string, onProgress?: (progress: CopyProgress) => void) {
    await this.#run({ kind: 'copy', from, to }, from, onProgress);
  }

  /** Copies a file to `to`, where none is, as it is: SQLite does not open it. */
  async copyFile(from: string, to: string): Promise<void> {
    await this.#run({ kind: 'copy-file', from, to }, from);
  }

  /**
   * What is wrong with the database in a file that nobody uses: nothing where it is whole. Undefined
   * where SQLite can't tell, for it uses functions or collations of a program's own.
   */
  check(path: string, how: CheckKind = 'quick_check'): Promise<Faults> {
    return this.#run({ kind: 'check', path, how }, path);
  }

  /**
   * Locks everybody else out of a database until this process ends, and with `settle` empties its
   * WAL into it. Fails with reason DATABASE_BUSY where another program uses it, as far as that shows.
   */
  async hold(path: string, settle: boolean): Promise<void> {
    await this.#run({ kind: 'hold', path, settle }, path);
  }

  /** Ends it, and removes the folder. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { pid, exitCode, signalCode, connected } = this.#child;
    if (pid !== undefined && exitCode === null && signalCode === null) {
      const exited = once(this.#child, 'exit');
      this.#child.ref();
      if (connected) this.#child.disconnect();
      await exited;
    }
    await rm(this.folder, { recursive: true, force: true });
  }

  #run(job: Job, path: string, onProgress?: (progress: CopyProgress) => void): Promise<Faults> {
    if (this.#child.connected) this.#child.send(job);
    return this.#answer(path, onProgress);
  }

  async #answer(path: string, onProgress?: (progress: CopyProgress) => void): Promise<Faults> {
    this.#keepAwake(true);
    try {
      for await (const [told] of this.#messages()) {
        if (told.is === 'done') return told.faults;
        if (told.is === 'failed') throw failureOf(path, told.failure);
        onProgress?.(told);
      }
    } catch (error) {
      if (!this.#signal?.aborted) throw error;
    } finally {
      this.#keepAwake(false);
    }
    if (this.#signal?.aborted) throw cancelled(this.#signal.reason);
    const { exitCode, signalCode } = this.#child;
    throw failed(path, `the process that reads it ended (${signalCode ?? exitCode})`);
  }

  #messages(): AsyncIterable<[Told]> {
    return on(this.#child, 'message', { close: ['exit'] }) as AsyncIterable<[Told]>;
  }

  /** While nobody waits for it, it does not keep this process from ending. */
  #keepAwake(awake: boolean): void {
    const change = awake ? 'ref' : 'unref';
    this.#child[change]();
    this.#child.channel?.[change]();
  }
}

/** SQLite's primary result codes that mean something to a caller. */
const REASONS: Readonly<Record<number, readonly [code: number, reason: string, what: string]>> = {
  5: [status.FAILED_PRECONDITION, 'DATABASE_BUSY', 'another program has locked it: try again'],
  11: [status.DATA_LOSS, 'DATABASE_DAMAGED', 'the database is damaged'],
  13: [status.RESOURCE_EXHAUSTED, 'DISK_FULL', 'the disk is full'],
  26: [
    status.INVALID_ARGUMENT,
    'NOT_A_DATABASE',
    'it is no SQLite database, or one that is encrypted by itself',
  ],
};

/** The error of a job on a file. */
export function failureOf(path: string, { message, code, sqliteCode }: Failure): Error {
  if (code !== 'ERR_SQLITE_ERROR' && code !== undefined) {
    return Object.assign(new Error(message), { code });
  }
  const known = REASONS[sqliteCode ?? 0];
  if (!known) return failed(path, message);
  const [grpcCode, reason, what] = known;
  return new BackscrollError(`${path}: ${what}`, { code: grpcCode, reason, cause: message });
}

function failed(path: string, message: string): BackscrollError {
  return new BackscrollError(`${path}: ${message}`, {
    code: status.INTERNAL,
    reason: 'SQLITE_FAILED',
  });
}
