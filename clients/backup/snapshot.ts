import { stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { BackscrollError } from '../errors.ts';
import { requireRegular } from './regular-file.ts';
import { type CopyProgress, requireSqlite, SqliteProcess } from './sqlite-process.ts';

/** How a snapshot is made. */
export interface SnapshotOptions {
  /** Existing folder in which it is made; the database's own where it is absent. */
  readonly folder?: string | undefined;
  /** Ends the copying, and removes what was copied. */
  readonly signal?: AbortSignal | undefined;
  /** Told after each few MiB that were copied. */
  readonly onProgress?: ((progress: CopyProgress) => void) | undefined;
}

/** A copy of a database that nothing changes. */
export interface Snapshot extends AsyncDisposable {
  /** Its file, which only this user may read. */
  readonly path: string;
  /** Its size in bytes. */
  readonly sizeBytes: number;
  /** Removes it. It is removed as well when this process ends without that, or is killed. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Copies a SQLite database that others may be writing to, as one transaction sees it, with what
 * stands in its WAL. In WAL mode writers go on meanwhile; in the other modes their commits wait until
 * it is copied. Copies of a database that did not change are equal, byte for byte.
 *
 * Needs Node 24 (FAILED_PRECONDITION, reason NODE_TOO_OLD), and room for the copy (DISK_FULL). Fails
 * with NOT_A_FILE, NOT_A_DATABASE (also where it is encrypted by itself, or empty), DATABASE_DAMAGED,
 * DATABASE_BUSY where another program keeps it locked for 5 s, SQLITE_FAILED, CANCELLED, or the
 * system's error for the path. Nothing remains of a copy that failed.
 */
export async function snapshot(path: string, options: SnapshotOptions = {}): Promise<Snapshot> {
  const { folder = dirname(path), signal, onProgress } = options;
  requireSqlite('A snapshot of a database');
  // SQLite's own words for these are poor.
  const stats = await stat(path);
  requireRegular(path, stats);
  if (stats.size === 0) throw empty(path);
  const name = basename(path);
  const sqlite = await SqliteProcess.start(join(folder, `${name}.snapshot-`), signal);
  try {
    const copy = join(sqlite.folder, name);
    await sqlite.copy(path, copy, onProgress);
    const { size } = await stat(copy);
    return {
      path: copy,
      sizeBytes: size,
      [Symbol.asyncDispose]: () => sqlite[Symbol.asyncDispose](),
    };
  } catch (error) {
    await sqlite[Symbol.asyncDispose]();
    throw error;
  }
}

function empty(path: string): BackscrollError {
  return new BackscrollError(`${path} is empty`, {
    code: status.INVALID_ARGUMENT,
    reason: 'NOT_A_DATABASE',
  });
}
