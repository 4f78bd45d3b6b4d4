import { createHash, randomBytes } from 'node:crypto';

/** A user's named database. */
export interface DatabaseName {
  user: string;
  database: string;
}

/**
 * What may be noted about a backup after it was committed: that it passed or failed its verification;
 * that it is pinned, because somebody asked for it or because the backup after it has a warning; that
 * it is deleted, because somebody asked for it or by retention, which may take that back.
 */
export const NOTES = ['passed', 'failed', 'pin-asked', 'pin-warned', 'deleted', 'pruned'] as const;

export type Note = (typeof NOTES)[number];

/**
 * Where a database's objects are. Names are hashed: names of any bytes and length are safe in keys,
 * and never collide. The names themselves stand in the heads.
 *
 * Numbers in keys are reversed and of fixed width, so that the highest is the first of a listing.
 */
export const keys = {
  /** Prefix of all users' objects. */
  users: 'u/',

  /** Prefix of all of a user's objects. */
  user: (user: string) => `u/${sha256Hex(user)}/`,

  /** Prefix of the rounds of a background job. */
  rounds: (job: string) => `rounds/${job}/`,

  /** The round of a background job in the interval that begins at this time. */
  round: (job: string, ms: number) => `rounds/${job}/${String(ms).padStart(16, '0')}`,

  /** Prefix of all of a database's objects. */
  database: ({ user, database }: DatabaseName) => `${keys.user(user)}${sha256Hex(database)}/`,

  /** The prefix of the database that an object belongs to; undefined where it belongs to none. */
  databaseOf: (key: string) => /^u\/[\da-f]{64}\/[\da-f]{64}\//.exec(key)?.[0],

  /** Prefix of the heads. */
  heads: (prefix: string) => `${prefix}heads/`,

  /** Whether an object is a head, or a note about one. */
  isOfHeads: (key: string) => key.startsWith('heads/', keys.databaseOf(key)?.length),

  /** The head of a numbered backup. */
  head: (prefix: string, number: number) => `${prefix}heads/${reversed(number)}`,

  /** A note about a numbered backup: in a listing it comes right behind the head. */
  note: (prefix: string, number: number, note: Note) =>
    `${prefix}heads/${reversed(number)}.${note}`,

  /** Tells since when heads may be wrong about backups below them: in a listing it comes before them. */
  doubt: (prefix: string) => `${prefix}heads/${reversed(Number.MAX_SAFE_INTEGER)}.doubt`,

  /** Prefix of the maps of a root. */
  maps: (prefix: string, root: Uint8Array) => `${prefix}maps/${hex(root)}/`,

  /**
   * A new map of a root. The random end keeps anybody who still deletes an old map, late, from deleting
   * one that was stored since.
   */
  map: (prefix: string, root: Uint8Array, generation: number) =>
    `${prefix}maps/${hex(root)}/${reversed(generation)}-${randomBytes(8).toString('hex')}`,

  /** Prefix of the packs. */
  packs: (prefix: string) => `${prefix}packs/`,

  /** A pack. */
  pack: (prefix: string, id: string) => `${prefix}packs/${id}`,

  /** Prefix of the marks: of damaged packs, and of packs and maps that collection found unneeded. */
  marks: (prefix: string) => `${prefix}marks/`,

  /** The mark of a damaged pack. */
  damagedMark: (prefix: string, packId: string) => `${prefix}marks/damaged/${packId}`,

  /** A mark of the pack or map under this key. */
  unneededMark: (prefix: string, key: string, number: number) =>
    `${prefix}marks/unneeded/${key.slice(prefix.length)}.${number}`,
};

/**
 * Ids of the packs of one attempt at an upload: they begin with a hash of the upload's id, so that
 * what a broken upload left can be found; the attempt's random part keeps a repeat from meeting them;
 * and the number of the first page in it tells which pages it may hold before it is read.
 */
export function packId(uploadId: string, attempt: string, firstPage: number): string {
  return `${uploadHash(uploadId)}-${attempt}-${firstPage}`;
}

/** Stands for an upload's id in the packs that compaction stores; uploads have longer ones. */
export const COMPACTION = '';

/** The number of the first page in a pack, by the pack's id; undefined where that is none. */
export function pageInPackId(id: string): number | undefined {
  const digits = id.slice(id.lastIndexOf('-') + 1);
  return /^\d{1,15}$/.test(digits) ? Number(digits) : undefined;
}

/** What stands for an upload's id where the id itself may not: 32 hex digits. */
export function uploadHash(uploadId: string): string {
  return sha256Hex(uploadId).slice(0, 32);
}

/** Stands for the id, which has this hash, of an upload after an erasure: it finds nothing from before. */
export function nameAfterErasure(erasure: number, hash: string): string {
  return `${erasure}\n${hash}`;
}

/** The number of a head, or the generation of a map, in its key; undefined where there is none. */
export function numberInKey(key: string): number | undefined {
  const [, digits] = /\/(\d{16})(?:-[\da-f]{16})?$/.exec(key) ?? [];
  return digits === undefined ? undefined : Number.MAX_SAFE_INTEGER - Number(digits);
}

/** The number and the note in the key of a note; undefined where it is that of none. */
export function noteInKey(key: string): { number: number; note: Note } | undefined {
  const dot = key.lastIndexOf('.');
  const number = numberInKey(key.slice(0, Math.max(dot, 0)));
  const note = NOTES.find((one) => one === key.slice(dot + 1));
  return number === undefined || note === undefined ? undefined : { number, note };
}

/** What a mark marks: its key, and the mark's number, which damaged packs have none of. */
export function markInKey(key: string): { marked: string; number: number | undefined } | undefined {
  const [, prefix, damaged] = /^(.*\/)marks\/damaged\/([^/]+)$/.exec(key) ?? [];
  if (damaged !== undefined) return { marked: keys.pack(prefix!, damaged), number: undefined };
  const [, before, marked, digits] = /^(.*\/)marks\/unneeded\/(.+)\.(\d{1,6})$/.exec(key) ?? [];
  return digits === undefined
    ? undefined
    : { marked: `${before}${marked}`, number: Number(digits) };
}

function reversed(number: number): string {
  return String(Number.MAX_SAFE_INTEGER - number).padStart(16, '0');
}

function sha256Hex(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex');
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
