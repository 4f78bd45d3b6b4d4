import type { Database, Session } from './database.ts';
import type { Range, StoredMessage } from './model.ts';

/** Bodies up to this size come with their row; a whole read of larger ones could not be held. */
const SMALL_BODY_BYTES = 4 * 1024;

/**
 * The first messages of `range` in its order: all of them, or as many as fit in `maxBytes` of
 * bodies, but at least one where there is any. Holds little more than `maxBytes` whatever the
 * messages' sizes, and nothing after it returns.
 */
export function read(
  database: Database,
  conversationId: Buffer,
  range: Range,
  maxBytes: number,
  signal: AbortSignal,
): Promise<StoredMessage[]> {
  return database.run((session) => readIn(session, conversationId, range, maxBytes), signal);
}

async function readIn(
  session: Session,
  conversationId: Buffer,
  { fromSeq, toSeq, newestFirst }: Range,
  maxBytes: number,
): Promise<StoredMessage[]> {
  const rows = await session.rows<MessageRow>(
    `SELECT seq, edited_at_ms, deleted_at_ms, revision, LENGTH(body),
       CASE WHEN LENGTH(body) > ${SMALL_BODY_BYTES} THEN NULL ELSE body END
     FROM message WHERE conversation_id = ? AND seq BETWEEN ? AND ?
     ORDER BY seq ${newestFirst ? 'DESC' : 'ASC'}`,
    [conversationId, fromSeq, toSeq],
  );
  const kept = rows.slice(0, countThatFits(rows, maxBytes));
  const large = kept.filter((row) => row[5] === null).map((row) => row[0]);
  const bodies = await bodiesOf(session, conversationId, large);
  return kept.map(([seq, editedAtMs, deletedAtMs, revision, , body]) => ({
    seq,
    body: body ?? bodies.get(seq)!,
    editedAtMs,
    deletedAtMs,
    revision,
  }));
}

type MessageRow = [number, number, number, number, number, Buffer | null];

function countThatFits(rows: readonly MessageRow[], maxBytes: number): number {
  let bytes = 0;
  const past = rows.findIndex((row) => {
    bytes += row[4];
    return bytes > maxBytes;
  });
  return past < 0 ? rows.length : Math.max(past, 1);
}

async function bodiesOf(
  session: Session,
  conversationId: Buffer,
  seqs: readonly number[],
): Promise<Map<number, Buffer>> {
  if (seqs.length === 0) return new Map();
  return new Map(
    await session.rows<[number, Buffer]>(
      'SELECT seq, body FROM message WHERE conversation_id = ? AND seq IN (?)',
      [conversationId, seqs],
    ),
  );
}
