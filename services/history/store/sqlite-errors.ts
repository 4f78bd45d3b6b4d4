/** SQLite's result codes, without what they are extended by. */
const RESULT = {
  busy: 5,
  locked: 6,
  readOnly: 8,
  io: 10,
  corrupt: 11,
  full: 13,
  cantOpen: 14,
  notADatabase: 26,
};

const DAMAGED: ReadonlySet<number> = new Set([RESULT.corrupt, RESULT.notADatabase]);

const UNWRITABLE: ReadonlySet<number> = new Set([RESULT.full, RESULT.io, RESULT.readOnly]);

const UNAVAILABLE: ReadonlySet<number> = new Set([
  ...UNWRITABLE,
  ...[RESULT.busy, RESULT.locked, RESULT.cantOpen],
]);

/** Extended codes of a primary or unique key that refused a row. */
const DUPLICATE: ReadonlySet<number> = new Set([1555, 2067]);

/** A key refused a row. */
export function isDuplicate(error: unknown): boolean {
  return DUPLICATE.has(codeOf(error));
}

/** The file is no database, or can't be read any more. */
export function isDamage(error: unknown): boolean {
  return DAMAGED.has(resultOf(error));
}

/** Nothing can be written before somebody makes room, or mends the disk. */
export function isUnwritable(error: unknown): boolean {
  return UNWRITABLE.has(resultOf(error));
}

/** The file is busy, full or out of reach. */
export function isUnavailable(error: unknown): boolean {
  return UNAVAILABLE.has(resultOf(error));
}

function resultOf(error: unknown): number {
  return codeOf(error) & 0xff;
}

/** 0, which is no error's, where it is not SQLite's. */
function codeOf(error: unknown): number {
  const code = (error as { errcode?: unknown } | undefined)?.errcode;
  return typeof code === 'number' ? code : 0;
}
