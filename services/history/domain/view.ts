import { notFound } from '../../common/errors.ts';
import type { Database, Transaction } from '../store/database.ts';
import { type Closed, clip } from '../store/intervals.ts';
import type { Marks } from '../store/marks.ts';
import type { Conversation } from '../store/model.ts';
import {
  lockStanding,
  type MemberRow,
  ROLE,
  readStanding,
  type Standing,
} from '../store/standing.ts';
import { notAMember } from './errors.ts';

/**
 * What one user may see of a conversation at one moment. It is read once, and bounds everything that
 * is then read or told: pages, anchors, counts, inbox, changes and filters alike.
 */
export interface View {
  readonly conversation: Conversation;
  /** Empty for a service that sees the whole of a group. */
  readonly user: string;
  /** Seqs in view, ascending and disjoint; of them the hidden and the expired ones are not seen. */
  readonly intervals: readonly Closed[];
  /** Lowest seq that is in view, or would be: all below is gone, or not for this user. */
  readonly floorSeq: number;
  /** Highest seq of the conversation, as far as the user may know; 0 for none. */
  readonly lastSeq: number;
  readonly revision: number;
  /** The log holds every change after this revision. */
  readonly logRevision: number;
  /** 0 for a pair, and without a user. */
  readonly epoch: number;
  /** One of `ROLE`; a pair's users are members. */
  readonly role: number;
  /** The user's row; absent without a user, and before a pair's first message. */
  readonly member?: MemberRow;
  /** The user's own marks; absent without a user. */
  readonly marks?: Marks;
  /** The peer's, in a pair. */
  readonly peerMarks?: Marks;
  /** Hidden messages have to be looked for. */
  readonly hides: boolean;
  /** Expired messages have to be looked for. */
  readonly expiring: boolean;
}

/**
 * What `user` may see of a conversation now; empty for the whole of a group.
 *
 * @throws ServiceError NOT_A_MEMBER, the same whether or not there is such a group; GROUP_NOT_FOUND
 */
export async function viewOf(
  database: Database,
  conversation: Conversation,
  user: string,
  signal: AbortSignal,
): Promise<View> {
  const users = usersOf(conversation, user);
  return viewFrom(conversation, user, await readStanding(database, conversation.id, users, signal));
}

/** As `viewOf`; the conversation is locked until the transaction ends. */
export async function lockView(
  transaction: Transaction,
  conversation: Conversation,
  user: string,
): Promise<View> {
  const users = usersOf(conversation, user);
  return viewFrom(conversation, user, await lockStanding(transaction, conversation.id, users));
}

/** Users whose member rows a view is made of. */
function usersOf({ kind, names }: Conversation, user: string): readonly string[] {
  return kind === 'pair' ? names : [user];
}

/** As `viewOf`, of a standing that was read. */
export function viewFrom(
  conversation: Conversation,
  user: string,
  standing: Standing | undefined,
): View {
  const member = standing?.members.get(user);
  if (conversation.kind === 'group') {
    const gone = standing === undefined || standing.conversation.deletedAtMs > 0;
    if (user === '' && gone) throw notFound('GROUP_NOT_FOUND', 'There is no such group.');
    if (user !== '' && (gone || member === undefined)) throw notAMember();
  }
  const view = { conversation, user, ...seen(conversation, standing, user, member) };
  if (user === '' || conversation.kind === 'group') return view;
  const [a, b] = conversation.names;
  const peer = standing?.members.get(user === a ? b! : a!);
  return { ...view, peerMarks: marksOf(peer, view.lastSeq) };
}

function seen(
  { kind }: Conversation,
  standing: Standing | undefined,
  user: string,
  member: MemberRow | undefined,
): Omit<View, 'conversation' | 'user' | 'peerMarks'> {
  const {
    lastSeq: end,
    floorSeq,
    revision,
    logRevision,
    expiring,
  } = standing?.conversation ?? UNSPOKEN;
  const whole = user === '';
  const open = whole ? [{ from: 1 }] : (member?.intervals ?? []);
  const former = !whole && (member === undefined || member.role === ROLE.former);
  const firstSeq = Math.max(floorSeq, (member?.hiddenUpToSeq ?? 0) + 1, open[0]?.from ?? 1);
  const lastSeq = former ? (open.at(-1)?.to ?? 0) : end;
  return {
    intervals: clip(open, firstSeq, lastSeq),
    // How far retention got after their time is nothing for former members.
    floorSeq: Math.min(firstSeq, lastSeq + 1),
    lastSeq,
    revision,
    logRevision,
    epoch: kind === 'group' ? (member?.epoch ?? 0) : 0,
    role: member?.role ?? ROLE.former,
    hides: member?.hides ?? false,
    expiring,
    ...(member && { member }),
    ...(!whole && { marks: marksOf(member, lastSeq) }),
  };
}

const UNSPOKEN = { lastSeq: 0, floorSeq: 1, revision: 0, logRevision: 0, expiring: false };

/** Marks as they are told: never beyond what the reader may know of. */
function marksOf(member: MemberRow | undefined, lastSeq: number): Marks {
  return {
    readSeq: Math.min(member?.readSeq ?? 0, lastSeq),
    deliveredSeq: Math.min(member?.deliveredSeq ?? 0, lastSeq),
  };
}

/** Whether a seq is in view; its message may still be hidden or expired. */
export function isInView({ intervals }: View, seq: number): boolean {
  return intervals.some(({ from, to }) => from <= seq && seq <= to);
}

/** Holds whoever acts to being a member now. @throws ServiceError NOT_A_MEMBER */
export function checkMember(view: View): void {
  if (view.user !== '' && view.conversation.kind === 'group' && view.role === ROLE.former) {
    throw notAMember();
  }
}
