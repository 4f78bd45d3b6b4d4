import type { Marks } from '../../gen/backscroll/history/v1/inbox_pb.ts';
import { type ConversationName, exact, type MessageRow, type MessageStatus } from './message.ts';

/** A conversation as it stands in the table, which explains the columns. */
export interface ConversationRow {
  readonly id: number;
  readonly kind: number;
  readonly name: string;
  readonly title: string;
  readonly state: number;
  readonly user_revision: number;
  readonly listed: number;
  readonly last_seq: number;
  readonly told_seq: number;
  readonly floor_seq: number;
  readonly revision: number;
  readonly told_revision: number;
  readonly epoch: number;
  readonly landings: number;
  readonly forgets: number;
  readonly read_seq: number;
  readonly delivered_seq: number;
  readonly told_read_seq: number;
  readonly told_delivered_seq: number;
  readonly peer_read_seq: number;
  readonly peer_delivered_seq: number;
  readonly unread_count: number;
  readonly unread_from_seq: number;
  readonly unread_to_seq: number;
  readonly last_at_ms: number;
  readonly round: number;
  readonly round_seq: number;
}

/** Columns of a conversation that change. */
export type ConversationChange = Partial<Omit<ConversationRow, 'id' | 'kind' | 'name'>>;

/** What an answer of the service tells of a conversation, all as of one moment. */
export interface Told {
  readonly lastSeq: bigint;
  readonly floorSeq: bigint;
  readonly revision: bigint;
  readonly epoch: bigint;
  readonly marks?: Marks | undefined;
  readonly peerMarks?: Marks | undefined;
}

const PAIR = 1;
const GROUP = 2;

/** The epoch of a conversation of which the service told nothing yet. */
export const UNKNOWN_EPOCH = -1;

/** The conversation that a row is of. */
export function nameOf({ kind, name }: Pick<ConversationRow, 'kind' | 'name'>): ConversationName {
  return kind === GROUP ? { group: name } : { peer: name };
}

/** Whether something of what is held is known to have changed since. */
export function isStale({
  revision,
  told_revision,
}: Pick<ConversationRow, 'revision' | 'told_revision'>): boolean {
  return told_revision > revision;
}

/** Marks after what was told: they only rise. */
export function risen(row: ConversationRow, { marks, peerMarks }: Told): ConversationChange {
  const higher = (mark: number, told: bigint | undefined) => Math.max(mark, exact(told ?? 0n));
  return {
    read_seq: higher(row.read_seq, marks?.readSeq),
    delivered_seq: higher(row.delivered_seq, marks?.deliveredSeq),
    told_read_seq: higher(row.told_read_seq, marks?.readSeq),
    told_delivered_seq: higher(row.told_delivered_seq, marks?.deliveredSeq),
    peer_read_seq: higher(row.peer_read_seq, peerMarks?.readSeq),
    peer_delivered_seq: higher(row.peer_delivered_seq, peerMarks?.deliveredSeq),
  };
}

/** What names a conversation in the table. */
export function keyOf(name: ConversationName): [kind: number, name: string] {
  return name.group === undefined ? [PAIR, name.peer] : [GROUP, name.group];
}

/** Of a conversation that nothing is known of yet. */
export function firstOf(
  name: ConversationName,
): Pick<ConversationRow, 'epoch' | 'landings' | 'forgets' | 'told_revision'> {
  // The epoch of pairs never changes.
  const epoch = name.group === undefined ? 0 : UNKNOWN_EPOCH;
  return { epoch, landings: 0, forgets: 0, told_revision: 0 };
}

/** Whether all was forgotten since a conversation stood as `before`: what is on its way from then comes too late. */
export function isForgottenSince(
  before: Pick<ConversationRow, 'forgets'>,
  now: Pick<ConversationRow, 'forgets'>,
): boolean {
  return now.forgets !== before.forgets;
}

/** How far a message that is stored has come. */
export function statusOf(
  { peer_read_seq, peer_delivered_seq }: ConversationRow,
  { seq, sender }: MessageRow,
  owner: string,
): MessageStatus {
  if (sender !== owner) return 'received';
  if (seq <= peer_read_seq) return 'read';
  return seq <= peer_delivered_seq ? 'delivered' : 'sent';
}
