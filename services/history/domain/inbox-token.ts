import { readPageToken, writePageToken } from './page-token.ts';

/** Behind which conversation the next page of an inbox begins. */
export interface Cursor {
  /**
   * `newest`: all, those with the newest messages first, then by id; `risen`: those that rose since
   * the first page, by id; `changed`: those that changed since a user revision, by that revision.
   */
  readonly part: 'newest' | 'risen' | 'changed';
  /** The time, nothing, or the revision by which the part is ordered. */
  readonly at: bigint;
  readonly conversationId: Buffer;
}

/** What a page leaves for the next one to know. */
export interface Progress {
  /** The user's own revision from before the first page. */
  readonly revision: number;
  /** The service's time at the first page, in milliseconds since 1970. */
  readonly beganAtMs: number;
  readonly cursor: Cursor;
}

/** The request that a token belongs to. */
export interface Scope {
  readonly user: string;
  /** Absent where all conversations are asked for. */
  readonly since: bigint | undefined;
}

/** Writes a token. It holds nothing that the user may not know. */
export function writeProgress({ revision, beganAtMs, cursor }: Progress, scope: Scope): string {
  const { part, at, conversationId } = cursor;
  const text = `1 ${revision} ${beganAtMs} ${part} ${at} ${conversationId.toString('hex')}`;
  return writePageToken(subjectOf(scope), Buffer.from(text));
}

/** Reads a token; undefined for what was not written for a request of this scope. */
export function readProgress(token: string, scope: Scope): Progress | undefined {
  const parts = TEXT.exec(readPageToken(subjectOf(scope), token)?.toString() ?? '');
  if (parts === null) return undefined;
  const [revision, beganAtMs, part, at, id] = parts.slice(1) as [
    string,
    string,
    string,
    string,
    string,
  ];
  return {
    revision: Number(revision),
    beganAtMs: Number(beganAtMs),
    cursor: {
      part: part as Cursor['part'],
      at: BigInt(at),
      conversationId: Buffer.from(id, 'hex'),
    },
  };
}

/** Version, and the fields of `Progress`. */
const TEXT = /^1 (\d{1,15}) (\d{1,15}) (newest|risen|changed) (-?\d{1,19}) ([0-9a-f]{32})$/;

function subjectOf({ user, since }: Scope): Buffer {
  return Buffer.from(`inbox ${since ?? 'all'} ${user}`);
}
