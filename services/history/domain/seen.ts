import type { Session } from '../store/database.ts';
import { expiriesOf, hiddenOf } from '../store/excluded.ts';
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
