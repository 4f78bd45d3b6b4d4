import type { Session, Value } from './database.ts';
import type { Closed } from './intervals.ts';

/** Up to where the narrow tables of a conversation say something; 0 for nowhere. */
export interface Ends {
  readonly quietTo: number;
  readonly importedTo: number;
}

/** Seqs of one conversation to look at for one user, both ends inclusive. */
export interface Stretch extends Closed, Ends {
  readonly conversationId: Buffer;
  readonly user: string;
  /** The user has rows in `hidden`. */
  readonly hides: boolean;
  /** Some message of the conversation has, or had, an expiry. */
  readonly expiring: boolean;
}

/** What the narrow tables say of a stretch, from the end where the look began. */
export interface Piece {
  /** Seqs that don't count, in any order, some of them more than once. */
  readonly without: readonly Closed[];
  /** Up to this seq, or down to it, nothing more is to be found; absent for the whole stretch. */
  readonly knownTo?: number;
}

/** Rows of each narrow table that one look reads at most for each of its stretches. */
export const LOOK_ROWS = {
  /** To find the newest message that is seen: mostly it is one of the last. */
  ofNewest: 20,
  /** In many conversations at once. */
  ofMany: 200,
  /** In one alone, after that was not enough. */
  ofOne: 2_000,
} as const;

/** One of `LOOK_ROWS`. */
export type LookRows = (typeof LOOK_ROWS)[keyof typeof LOOK_ROWS];

/**
 * For each stretch, from its beginning up, what is unread for nobody (tombstones, calls that were not
 * missed, imports) or not seen by the user (hidden, expired by `nowMs`). Reads at most `rows` rows of
 * each narrow table, and of messages none.
 */
export function lookUp(
  session: Session,
  stretches: readonly Stretch[],
  rows: LookRows,
  nowMs: number,
): Promise<Piece[]> {
  return look(session, stretches, [QUIET, IMPORTED, HIDDEN, EXPIRED], 'ASC', rows, nowMs);
}

/** For each stretch, from its end down, what the user does not see; as `lookUp` otherwise. */
export function lookDown(
  session: Session,
  stretches: readonly Stretch[],
  rows: LookRows,
  nowMs: number,
): Promise<Piece[]> {
  return look(session, stretches, [HIDDEN, EXPIRED], 'DESC', rows, nowMs);
}

/** A narrow table, whose rows give the number of a stretch, and from where to where seqs don't count. */
interface Source {
  readonly sql: string;
  readonly concerns: (stretch: Stretch) => boolean;
  readonly values: (stretch: Stretch, nowMs: number) => Value[];
  /** The column of the rows' order, which is where they begin. */
  readonly order: string;
}

const QUIET: Source = {
  sql: 'SELECT ?, seq, seq FROM quiet WHERE conversation_id = ? AND seq BETWEEN ? AND ?',
  concerns: ({ quietTo, from }) => quietTo >= from,
  values: ({ conversationId, from, to }) => [conversationId, from, to],
  order: 'seq',
};

/** Also the run that began before the stretch. */
const IMPORTED: Source = {
  sql: `SELECT ?, from_seq, to_seq FROM imported
    WHERE conversation_id = ? AND from_seq <= ? AND from_seq >= (
      SELECT COALESCE(MAX(from_seq), 0) FROM imported WHERE conversation_id = ? AND from_seq <= ?)`,
  concerns: ({ importedTo, from }) => importedTo >= from,
  values: ({ conversationId, from, to }) => [conversationId, to, conversationId, from],
  order: 'from_seq',
};

const HIDDEN: Source = {
  sql: `SELECT ?, seq, seq FROM hidden
    WHERE conversation_id = ? AND user_name = ? AND seq BETWEEN ? AND ?`,
  concerns: ({ hides }) => hides,
  values: ({ conversationId, user, from, to }) => [conversationId, Buffer.from(user), from, to],
  order: 'seq',
};

/** What has not expired comes as well, and ends before it begins: else a look might pass over any number of rows. */
const EXPIRED: Source = {
  sql: `SELECT ?, seq, CASE WHEN expires_at_ms <= ? THEN seq ELSE 0 END FROM expiry
    WHERE conversation_id = ? AND seq BETWEEN ? AND ?`,
  concerns: ({ expiring }) => expiring,
  values: ({ conversationId, from, to }, nowMs) => [nowMs, conversationId, from, to],
  order: 'seq',
};

async function look(
  session: Session,
  stretches: readonly Stretch[],
  sources: readonly Source[],
  direction: 'ASC' | 'DESC',
  rows: LookRows,
  nowMs: number,
): Promise<Piece[]> {
  const without: Closed[][] = stretches.map(() => []);
  const knownTo: (number | undefined)[] = stretches.map(() => undefined);
  const nearer = direction === 'ASC' ? Math.min : Math.max;
  for (const { sql, concerns, values, order } of sources) {
    const found = await session.rowsOfEach<[number, number, number]>(
      `${sql} ORDER BY ${order} ${direction} LIMIT ${rows}`,
      stretches.flatMap((stretch, n) =>
        concerns(stretch) ? [[n, ...values(stretch, nowMs)]] : [],
      ),
    );
    const counts = stretches.map(() => 0);
    for (const [n, from, to] of found) {
      if (from <= to) without[n]!.push({ from, to });
      counts[n]!++;
      // A full answer may have left more out: beyond its last row nothing is known.
      if (counts[n] === rows) knownTo[n] = nearer(from, knownTo[n] ?? from);
    }
  }
  return stretches.map((_, n) => ({ without: without[n]!, ...knownAs(knownTo[n]) }));
}

function knownAs(knownTo: number | undefined): Pick<Piece, 'knownTo'> {
  return knownTo === undefined ? {} : { knownTo };
}
