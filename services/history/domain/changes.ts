import { READ_BYTES, READ_ROWS } from '../limits.ts';
import { type LoggedChange, readLog } from '../store/change-log.ts';
import type { Database, Session } from '../store/database.ts';
import type { StoredMessage } from '../store/model.ts';
import { type MessageRow, readFitting } from '../store/read.ts';
import { readStanding } from '../store/standing.ts';
import { resyncRequired } from './errors.ts';
import { seenAmong, unexpired } from './seen.ts';
import { isInView, type View } from './view.ts';

/** Some of what changed, of what the user sees. */
export interface ChangePiece {
  readonly messages: readonly StoredMessage[];
  readonly hiddenSeqs: readonly number[];
}

/**
 * What changed in view after a revision and up to the view's, in the order of the last changes, each
 * once; read piece by piece. What changes meanwhile may come as it stands then, or not at all: it has
 * a later revision, and comes behind that of the view.
 *
 * @throws ServiceError RESYNC_REQUIRED where the log does not, or no longer, hold all of it
 */
export async function* changesSince(
  database: Database,
  view: View,
  sinceRevision: number,
  nowMs: () => number,
  signal: AbortSignal,
): AsyncGenerator<ChangePiece> {
  if (sinceRevision < view.logRevision || sinceRevision > view.revision) throw resyncRequired();
  if (sinceRevision === view.revision) return;
  for await (const entries of logBehind(database, view, sinceRevision, signal)) {
    yield* pieces(database, view, entries, nowMs, signal);
  }
  // The log may have been shortened while it was read.
  const standing = await readStanding(database, view.conversation.id, [], signal);
  if (sinceRevision < (standing?.conversation.logRevision ?? 0)) throw resyncRequired();
}

/** The log's entries for this view, some at a time. */
async function* logBehind(
  database: Database,
  view: View,
  sinceRevision: number,
  signal: AbortSignal,
): AsyncGenerator<LoggedChange[]> {
  const { conversation, revision, user } = view;
  let behind = { revision: sinceRevision + 1, seq: 0 };
  for (;;) {
    const entries = await readLog(database, conversation.id, behind, revision, signal);
    yield entries.filter((entry) => entry.user === '' || entry.user === user);
    if (entries.length < READ_ROWS) return;
    behind = entries.at(-1)!;
  }
}

async function* pieces(
  database: Database,
  view: View,
  entries: readonly LoggedChange[],
  nowMs: () => number,
  signal: AbortSignal,
): AsyncGenerator<ChangePiece> {
  const { id } = view.conversation;
  const hiddenSeqs = entries
    .filter(({ user, seq }) => user !== '' && isInView(view, seq))
    .map(({ seq }) => seq);
  if (hiddenSeqs.length > 0) yield { messages: [], hiddenSeqs };

  const changed = entries.flatMap(({ message }) => (message ? [message] : []));
  const seqs = changed.map(([seq]) => seq);
  const look = async (session: Session) => new Set(await seenAmong(session, view, seqs, nowMs()));
  const seen = await database.run(look, signal);
  let rows: readonly MessageRow[] = changed.filter(([seq]) => seen.has(seq));
  while (rows.length > 0) {
    const read = await database.run(
      (session) => readFitting(session, id, rows, READ_BYTES),
      signal,
    );
    const messages = await unexpired(database, view, read.messages, nowMs, signal);
    yield { messages, hiddenSeqs: [] };
    rows = read.left;
  }
}
