import type { Database, Session, Transaction } from './database.ts';
import { type Interval, readIntervals } from './intervals.ts';
import { type Conversation, KIND, nameColumns } from './model.ts';
import { CONVERSATION } from './tables.ts';

/** What a group's newcomers may see of what was said before: `conversation.visibility`. */
export const VISIBILITY = { all: 1, last: 2, fromJoining: 3 } as const;

/** What a member may do: `member.role`. Higher may all that lower may. */
export const ROLE = { former: 0, member: 1, moderator: 2, owner: 3 } as const;

/** A row of `conversation`. */
export interface ConversationRow {
  /** Highest seq; 0 before the first message. */
  readonly lastSeq: number;
  /** Lowest seq that retention has left. */
  readonly floorSeq: number;
  /** Counts edits, deletions and hidings. */
  readonly revision: number;
  /** The log holds every change after this revision. */
  readonly logRevision: number;
  /** Time of the last message, as its sender gave it. */
  readonly lastSentAtMs: bigint;
  /** The service's time of the last append. */
  readonly appendedAtMs: number;
  readonly title: string;
  /** One of `VISIBILITY`. */
  readonly visibility: number;
  readonly visibleMessages: number;
  /** 0: as the service is configured. */
  readonly retentionS: number;
  /** 0 for a pair, and for a group that nobody created. */
  readonly createdAtMs: number;
  /** Of a group; 0 where it was not deleted. */
  readonly deletedAtMs: number;
  /** Members that a group has now. */
  readonly memberCount: number;
  /** Some message has, or had, an expiry. */
  readonly expiring: boolean;
  /** Where the run of imported messages began that `lastSeq` ends; 0 where it ends none. */
  readonly importedFromSeq: number;
  /** A pair whose member rows have to be made again. */
  readonly incomplete: boolean;
}

/** A row of `member`: what decides what a user may see and do. */
export interface MemberRow {
  readonly user: string;
  /** One of `ROLE`. */
  readonly role: number;
  readonly intervals: readonly Interval[];
  readonly epoch: number;
  /** The user deleted everything up to here for themself. */
  readonly hiddenUpToSeq: number;
  /** The user has rows in `hidden`. */
  readonly hides: boolean;
  readonly readSeq: number;
  readonly deliveredSeq: number;
  readonly joinedAtMs: number;
  /** Time of the last message that a former member may see; 0 for members. */
  readonly leftSentAtMs: bigint;
  /** The group's title when a former member left; empty for members. */
  readonly leftTitle: string;
}

/** Whether a user of this row is a member now. */
export function isMember(row: MemberRow | undefined): row is MemberRow {
  return row !== undefined && row.role !== ROLE.former;
}

/** A conversation at one moment, with the member rows of those users asked for that have one. */
export interface Standing {
  readonly conversation: ConversationRow;
  readonly members: ReadonlyMap<string, MemberRow>;
}

/** Columns of a `ConversationRow`, for SELECTs that `conversationRow` reads. */
export const CONVERSATION_COLUMNS = `conversation.last_seq, conversation.floor_seq,
  conversation.revision, conversation.log_revision, CAST(conversation.last_sent_at_ms AS CHAR),
  conversation.appended_at_ms, conversation.title, conversation.visibility,
  conversation.visible_messages, conversation.retention_s, conversation.created_at_ms,
  conversation.deleted_at_ms, conversation.member_count, conversation.expiring,
  conversation.imported_from_seq, conversation.incomplete`;

/** The values of `CONVERSATION_COLUMNS`. */
export type ConversationColumns = [
  ...[number, number, number, number, string, number],
  ...[Buffer, number, number, number, number, number],
  ...[number, number, number, number],
];

/** Columns of a `MemberRow`, for SELECTs that `memberRow` reads. */
export const MEMBER_COLUMNS = `member.user_name, member.role, member.intervals, member.epoch,
  member.hidden_up_to_seq, member.hides, member.read_seq, member.delivered_seq,
  member.joined_at_ms, CAST(member.left_sent_at_ms AS CHAR), member.left_title`;

/** The values of `MEMBER_COLUMNS`. */
export type MemberColumns = [
  ...[Buffer, number, Buffer, number, number],
  ...[number, number, number, number, string, Buffer],
];

/** Reads the values of `CONVERSATION_COLUMNS`. */
export function conversationRow(columns: ConversationColumns): ConversationRow {
  return {
    lastSeq: columns[0],
    floorSeq: columns[1],
    revision: columns[2],
    logRevision: columns[3],
    lastSentAtMs: BigInt(columns[4]),
    appendedAtMs: columns[5],
    title: columns[6].toString(),
    visibility: columns[7],
    visibleMessages: columns[8],
    retentionS: columns[9],
    createdAtMs: columns[10],
    deletedAtMs: columns[11],
    memberCount: columns[12],
    expiring: columns[13] !== 0,
    importedFromSeq: columns[14],
    incomplete: columns[15] !== 0,
  };
}

/** Reads the values of `MEMBER_COLUMNS`. */
export function memberRow(columns: MemberColumns): MemberRow {
  return {
    user: columns[0].toString(),
    role: columns[1],
    intervals: readIntervals(columns[2]),
    epoch: columns[3],
    hiddenUpToSeq: columns[4],
    hides: columns[5] !== 0,
    readSeq: columns[6],
    deliveredSeq: columns[7],
    joinedAtMs: columns[8],
    leftSentAtMs: BigInt(columns[9]),
    leftTitle: columns[10].toString(),
  };
}

/** A conversation as it stands now, with the member rows of `users`; undefined where it never began. */
export function readStanding(
  database: Database,
  conversationId: Buffer,
  users: readonly string[],
  signal?: AbortSignal,
): Promise<Standing | undefined> {
  return database.run((session) => standingIn(session, conversationId, users), signal);
}

/** As `readStanding`; the conversation's row stays locked until the transaction of `session` ends. */
export function lockStanding(
  session: Session,
  conversationId: Buffer,
  users: readonly string[],
): Promise<Standing | undefined> {
  return standingIn(session, conversationId, users, ' FOR UPDATE');
}

/** As `lockStanding`; the conversation begins, without messages, where it never did. */
export async function lockOrBegin(
  transaction: Transaction,
  conversation: Conversation,
  users: readonly string[],
): Promise<Standing> {
  const standing = await lockStanding(transaction, conversation.id, users);
  if (standing) return standing;
  // Somebody else may do the same: then this waits for their commit, and finds their row.
  const row = [conversation.id, KIND[conversation.kind], ...nameColumns(conversation), 0, 1, 0, 0];
  await transaction.insert(CONVERSATION, [row], 'keep');
  return (await lockStanding(transaction, conversation.id, users))!;
}

async function standingIn(
  session: Session,
  conversationId: Buffer,
  users: readonly string[],
  lock = '',
): Promise<Standing | undefined> {
  // One text for one user and for two, so that it stays prepared; nobody has the empty name.
  const [first = '', second = first] = users;
  const few = users.length <= 2;
  const names = (few ? [first, second] : users).map((user) => Buffer.from(user));
  const rows = await session.rows<StandingColumns>(
    `SELECT ${CONVERSATION_COLUMNS}, ${MEMBER_COLUMNS} FROM conversation
     LEFT JOIN member ON member.conversation_id = conversation.conversation_id
       AND member.user_name IN ${few ? '(?, ?)' : '(?)'}
     WHERE conversation.conversation_id = ?${lock}`,
    [...(few ? names : [names]), conversationId],
  );
  const [row] = rows;
  if (row === undefined) return undefined;
  const columns = rows.map((row) => row.slice(CONVERSATION_WIDTH) as MemberColumns);
  const members = columns.filter(([user]) => user !== null).map(memberRow);
  return {
    conversation: conversationRow(row as unknown as ConversationColumns),
    members: new Map(members.map((member) => [member.user, member])),
  };
}

type StandingColumns = [...ConversationColumns, ...MemberColumns];

const CONVERSATION_WIDTH = 16;
