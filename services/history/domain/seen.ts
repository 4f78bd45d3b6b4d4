import type { Database, Session } from '../store/database.ts';
import { expiriesOf, hiddenOf } from '../store/excluded.ts';
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
  const expiries = view.expiring ? await expiriesOf(session, id, inView) : undefined;
  return inView.filter((seq) => {
    const expiresAtMs = expiries?.get(seq);
    return !hidden?.has(seq) && (expiresAtMs === undefined || expiresAtMs > nowMs);
  });
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
  const expiries = await database.run((session) => expiriesOf(session, id, seqs), signal);
  const atMs = nowMs();
  return messages.filter(({ seq }) => (expiries.get(seq) ?? Infinity) > atMs);
}
