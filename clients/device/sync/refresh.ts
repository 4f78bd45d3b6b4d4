import type { InboxPull } from './inbox-pull.ts';
import { InboxRound } from './inbox-round.ts';

/** Conversations of one answer where all are wanted: of as many, a refresh sees everything that is new. */
const PAGE = 500;

/**
 * Brings the whole inbox up to date: what changed for the user alone, what is new, and what was never
 * listed. Of conversations beyond the newest few hundred, what is new is looked for as far down as
 * anything is: a message that was sent long before it arrived may wait there for its conversation to be
 * read.
 */
export async function refreshInbox(inbox: InboxPull, signal: AbortSignal): Promise<void> {
  inbox.store.write(() => inbox.store.removeExpired(Date.now()));
  await inbox.changes(signal);
  const round = new InboxRound(inbox);
  while (await round.next(PAGE, signal));
  await inbox.confirm(signal);
}
