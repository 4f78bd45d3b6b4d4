import { type FileHandle, open, stat } from 'node:fs/promises';
import { status } from '@grpc/grpc-js';
import { BackscrollError } from '../errors.ts';
import { SQLITE_HEADER_BYTES, sqlitePageSize } from '../format/sqlite-header.ts';
import { requireRegular } from './regular-file.ts';

/** What can be uploaded: bytes of a known size, which can be read again for another try. */
export interface UploadSource {
  /** How many bytes there are. */
  readonly sizeBytes: number;
  /** Reads them from the beginning. Each chunk is memory of its own, which nobody writes again. */
  stream(): AsyncIterable<Uint8Array>;
  /**
   * Opens them for reading at any position, which lets an upload send only what changed. Where it is
   * absent, all of them are sent.
   */
  open?(): Promise<SourceReader>;
}

/** Reads the bytes of a source at any position. */
export interface SourceReader {
  /** Fills `into` with the bytes from `offset` on. */
  read(into: Uint8Array, offset: number): Promise<void>;
  /** Resolves where all that was read is of one state of the source; throws where it may not be. */
  confirm(): Promise<void>;
  /** Ends the reading. */
  close(): Promise<void>;
}

/** Bytes read, and sent, at a time. */
export const CHUNK_BYTES = 256 * 1024;

/** What a rollback journal that still holds a transaction begins with. */
const JOURNAL_MAGIC = Buffer.from('d9d505f920a163d7', 'hex');

/**
 * A SQLite database's file as it is. Refused with FAILED_PRECONDITION where it is no regular file
 * (reason NOT_A_FILE), while its contents stand partly in another file (a `-wal` or a `-journal` beside it, reason DATABASE_IN_USE), and when it changes
 * while it is read (reason SOURCE_CHANGED): what is sent is one state of the database, or nothing.
 */
export async function fileSource(path: string): Promise<UploadSource> {
  // Before it is opened: to open a pipe is to wait for its writer.
  requireRegular(path, await stat(path));
  await refuseUnsettled(path);
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const asItWas = await stamp(file);
    return {
      sizeBytes: size,
      stream: () => readUnchanged(path, size, asItWas),
      open: () => openUnchanged(path, asItWas),
    };
  } finally {
    await file.close();
  }
}

async function* readUnchanged(
  path: string,
  sizeBytes: number,
  asItWas: string,
): AsyncGenerator<Uint8Array> {
  const reader = await openUnchanged(path, asItWas);
  try {
    for (let offset = 0; offset < sizeBytes; offset += CHUNK_BYTES) {
      const buffer = Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, sizeBytes - offset));
      await reader.read(buffer, offset);
      yield buffer;
    }
    await reader.confirm();
  } finally {
    await reader.close();
  }
}

async function openUnchanged(path: string, asItWas: string): Promise<SourceReader> {
  const file = await open(path, 'r');
  return {
    async read(into, offset) {
      for (let filled = 0; filled < into.length; ) {
        const left = into.length - filled;
        const { bytesRead } = await file.read(into, filled, left, offset + filled);
        if (bytesRead === 0) throw changed(path);
        filled += bytesRead;
      }
    },
    async confirm() {
      if ((await stamp(file)) !== asItWas) throw changed(path);
      await refuseUnsettled(path);
    },
    close: () => file.close(),
  };
}

/** Changes whenever the file is written to. */
async function stamp(file: FileHandle): Promise<string> {
  const { size, mtimeNs, ctimeNs } = await file.stat({ bigint: true });
  return `${size} ${mtimeNs} ${ctimeNs}`;
}

/**
 * Refuses a path to restore to beside which a WAL or a journal stands (FAILED_PRECONDITION, reason
 * DATABASE_IN_USE): SQLite would mix it into the restored database.
 */
export async function refuseMixing(path: string): Promise<void> {
  const part = await partBeside(path);
  if (part === undefined) return;
  throw new BackscrollError(
    `${part} belongs to another state of ${path}: move both away, or name another file`,
    { code: status.FAILED_PRECONDITION, reason: 'DATABASE_IN_USE' },
  );
}

/**
 * Refuses a database of which a part stands in a WAL or a journal beside it (FAILED_PRECONDITION, reason
 * DATABASE_IN_USE): its file alone is not the whole of it.
 */
export async function refuseUnsettled(path: string): Promise<void> {
  const part = await partBeside(path);
  if (part === undefined) return;
  throw new BackscrollError(
    `Part of the database stands in ${part}: close it in the program that uses it, or take a ` +
      'snapshot of it',
    { code: status.FAILED_PRECONDITION, reason: 'DATABASE_IN_USE' },
  );
}

/** The file beside a database's that holds a part of it now: a WAL or a hot journal. */
async function partBeside(path: string): Promise<string | undefined> {
  const [wal, journal] = [`${path}-wal`, `${path}-journal`];
  if ((await head(wal)).length > 0) return wal;
  return (await head(journal)).equals(JOURNAL_MAGIC) ? journal : undefined;
}

/** Whether a file that nobody uses begins as SQLite databases do. */
export async function beginsAsDatabase(path: string): Promise<boolean> {
  return sqlitePageSize(await head(path, SQLITE_HEADER_BYTES)) !== undefined;
}

/** The first bytes of a file; none where there is no such file. */
async function head(path: string, bytes = JOURNAL_MAGIC.length): Promise<Buffer> {
  try {
    const file = await open(path, 'r');
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(bytes));
      return buffer.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return Buffer.alloc(0);
    throw error;
  }
}

function changed(path: string): BackscrollError {
  return new BackscrollError(
    `${path} was written to while it was read: upload a copy, or try again`,
    { code: status.FAILED_PRECONDITION, reason: 'SOURCE_CHANGED' },
  );
}
