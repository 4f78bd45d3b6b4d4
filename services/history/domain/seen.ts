import type { Database, Session } from '../store/database.ts';
import { expiredOf, hiddenOf } from '../store/excluded.ts';
import type { StoredMessage } from '../store/model.ts';
import { isInView, type View } from './view.ts';

/** Those of `seqs` whose messages the user sees, tombstones among them; in their order. */
export async function seenAmong(
  session: Session,
  view: View,
  seqs: readonly number[],
  nowMs: number,
): Promise<number[]> {
  const { id } = view.conversation;
  const inView = seqs.filter((seq) => isInView(view, seq));
  const hidden = view.hides ? await hiddenOf(session, id, view.user, inView) : undefined;
  const expired = view.expiring ? await expiredOf(session, id, inView, nowMs) : undefined;
  return inView.filter((seq) => !hidden?.has(seq) && !expired?.has(seq));
}

/**
 * Those of messages that were read which have not expired by now: a reader may have taken long to get
 * to them, and of some the sweep may have removed the content.
 */
export async function unexpired(
  database: Database,
  view: View,
  messages: readonly StoredMessage[],
  nowMs: () => number,
  signal: AbortSignal,
): Promise<readonly StoredMessage[]> {
  if (!view.expiring || messages.length === 0) return messages;
  const { id } = view.conversation;
  const seqs = messages.map(({ seq }) => seq);
  const look = (session: Session) => expiredOf(session, id, seqs, nowMs());
  const expired = await database.run(look, signal);
  return messages.filter(({ seq }) => !expired.has(seq));
}
