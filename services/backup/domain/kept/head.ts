import { createHash } from 'node:crypto';
import { DamageError } from '../coding.ts';
import type { DatabaseName } from '../keys.ts';
import { uploadHash } from '../keys.ts';

/** Describes the key that sealed a backup's pages, which the service never sees. */
export interface KeptKey {
  /** Names the key without telling it: 16 bytes in hex. */
  id: string;
  /** How the key comes from a passphrase; undefined where it was given as bytes. The salt is in hex. */
  scrypt: { salt: string; log2N: number; r: number; p: number } | undefined;
}

/** What may be strange about a backup: it is less than half as large as the one before, or of a younger database. */
export type HeadWarning = 'shrunk' | 'younger';

/** What makes a numbered backup of a root: the object that is written last. */
export interface Head extends DatabaseName {
  number: number;
  /** Root digest, in hex. */
  root: string;
  sizeBytes: number;
  pageSizeBytes: number;
  opaque: boolean;
  databaseCreatedAtMs: number;
  label: string;
  uploadId: string;
  /** SHA-256 of the whole file in hex, or empty where the uploader did not give it. */
  sha256: string;
  /** The key that sealed the pages; undefined where they are plain. */
  key?: KeptKey | undefined;
  /** What the sealing client can tell the root by, in hex; undefined where the pages are plain. */
  seal?: string | undefined;
  /** Bytes of the packs and the map that the upload stored. */
  storedBytes: number;
  /** The root is that of the backup before it. */
  unchanged: boolean;
  /** What was strange about it beside the backup before it; none where absent. */
  warnings?: readonly HeadWarning[] | undefined;
  /**
   * The newest backup that was known to have passed its verification when this one was made, and when
   * that ended: this one itself, where its root is known to be sound. `createdAtMs` is when it was
   * committed, absent for this one itself. None where absent.
   */
  lastPassed?: { number: number; atMs: number; createdAtMs?: number | undefined } | undefined;
  /** Marks a number as used by no backup: it is an erasure's. */
  deleted: boolean;
  /** Number of the last erasure: no backup up to it counts. 0 where absent. */
  erasure?: number | undefined;
  /** The uploads before this one, newest first: hashes of their ids, and their backups' numbers. */
  earlierUploads: readonly (readonly [hash: string, number: number])[];
}

const FORMAT = 'backscroll head 1';

/** The head as stored: JSON that people can read, with a check over all the rest of it. */
export function encodeHead(head: Head): Buffer {
  const body = { format: FORMAT, ...head };
  return Buffer.from(JSON.stringify({ ...body, check: checkOf(body) }));
}

/** Reads a stored head. Throws DamageError where it is not as written. */
export function decodeHead(bytes: Buffer): Head {
  const { check, ...body } = parse(bytes);
  if (check !== checkOf(body)) throw new DamageError('head does not match its check');
  const { format, ...head } = body;
  if (format !== FORMAT) throw new DamageError('head of another format');
  // The check says that encodeHead wrote it.
  return head as unknown as Head;
}

/** The head that takes a number for an erasure. It tells nothing of what was there. */
export function erasureHead(number: number): Head {
  return {
    ...{ number, erasure: number, deleted: true, user: '', database: '', label: '', uploadId: '' },
    ...{ root: '', sha256: '', sizeBytes: 0, pageSizeBytes: 0, databaseCreatedAtMs: 0 },
    ...{ storedBytes: 0, opaque: false, unchanged: false, earlierUploads: [] },
  };
}

/** The backup of an upload that the head knows of, its own included; undefined where it knows none. */
export function numberOfUpload(head: Head, uploadId: string): number | undefined {
  const hash = uploadHash(uploadId);
  return uploadsUntil(head).find(([known]) => known === hash)?.[1];
}

/** A head's upload and those before it, newest first. */
export function uploadsUntil(head: Head): Head['earlierUploads'] {
  if (head.deleted) return head.earlierUploads;
  return [[uploadHash(head.uploadId), head.number], ...head.earlierUploads];
}

function parse(bytes: Buffer): Record<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(bytes.toString('utf8'));
    if (typeof parsed === 'object' && parsed !== null) return { ...parsed };
  } catch {
    // Said below.
  }
  throw new DamageError('head is no JSON object');
}

function checkOf(body: object): string {
  return createHash('sha256').update(JSON.stringify(body)).digest('hex').slice(0, 32);
}
