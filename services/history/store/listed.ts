import type { Session } from './database.ts';
import { type Conversation, KIND, keyOf, type Place, type StoredMessage } from './model.ts';
import { countThatFits, MESSAGE_COLUMNS, type MessageRow } from './read.ts';
import {
  CONVERSATION_COLUMNS,
  type ConversationColumns,
  conversationRow,
  MEMBER_COLUMNS,
  type MemberColumns,
  type MemberRow,
  memberRow,
  type Standing,
} from './standing.ts';
import type { Ends } from './unread.ts';

/** What an inbox is made of, as it stands at one moment. */
export interface Listed {
  readonly conversation: Conversation;
  /** Of the members the user, and in a pair both. */
  readonly standing: Standing;
  readonly ends: Ends;
  /** The conversation's last message; undefined where it has none. */
  readonly last: MessageRow | undefined;
}

/** Conversations by their ids, some hundred at a time, in no order; deleted groups, too. */
export async function readListed(
  session: Session,
  user: string,
  conversationIds: readonly Buffer[],
): Promise<Listed[]> {
  // In these subqueries the whole key orders: by its end alone MySQL reads all rows and sorts them.
  const rows = await session.rows<ListedColumns>(
    `SELECT conversation.conversation_id, conversation.kind, conversation.name_a,
       conversation.name_b,
       (SELECT quiet.seq FROM quiet
        WHERE quiet.conversation_id = conversation.conversation_id
        ORDER BY quiet.conversation_id DESC, quiet.seq DESC LIMIT 1),
       (SELECT imported.to_seq FROM imported
        WHERE imported.conversation_id = conversation.conversation_id
        ORDER BY imported.conversation_id DESC, imported.from_seq DESC LIMIT 1),
       ${MESSAGE_COLUMNS}, ${MEMBER_COLUMNS}, ${CONVERSATION_COLUMNS}
     FROM conversation
     LEFT JOIN message ON message.conversation_id = conversation.conversation_id
       AND message.seq = conversation.last_seq
     LEFT JOIN member ON member.conversation_id = conversation.conversation_id
       AND member.user_name = ?
     WHERE conversation.conversation_id IN (?)`,
    [Buffer.from(user), conversationIds],
  );
  const pairs = rows.filter(([, kind]) => kind === KIND.pair).map(([id]) => id);
  const peers = await readPeers(session, user, pairs);
  return rows.map((row) => listedOf(row, peers.get(keyOf(row[0]))));
}

type ListedColumns = [
  ...[Buffer, number, Buffer, Buffer, number | null, number | null],
  ...(MessageRow | NoMessage),
  ...MemberColumns,
  ...ConversationColumns,
];

type NoMessage = [null, null, null, null, null, null];

/** Where the columns of message, member and conversation begin. */
const [MESSAGE_AT, MEMBER_AT, CONVERSATION_AT] = [6, 12, 23];

function listedOf(row: ListedColumns, peer: MemberRow | undefined): Listed {
  const [id, kind, a, b, quietTo, importedTo] = row;
  const message = row.slice(MESSAGE_AT, MEMBER_AT) as MessageRow | NoMessage;
  const member = row.slice(MEMBER_AT, CONVERSATION_AT) as MemberColumns | [null];
  const own = member[0] === null ? undefined : memberRow(member);
  const members = [own, peer].filter((one) => one !== undefined);
  return {
    conversation: conversationOf(id, kind, a, b),
    standing: {
      conversation: conversationRow(row.slice(CONVERSATION_AT) as unknown as ConversationColumns),
      members: new Map(members.map((one) => [one.user, one])),
    },
    ends: { quietTo: quietTo ?? 0, importedTo: importedTo ?? 0 },
    last: message[0] === null ? undefined : message,
  };
}

function conversationOf(id: Buffer, kind: number, a: Buffer, b: Buffer): Conversation {
  if (kind === KIND.group) return { id, kind: 'group', names: [a.toString()] };
  return { id, kind: 'pair', names: [a.toString(), b.toString()] };
}

/** Whom a user speaks with in pairs, by the keys of these. */
async function readPeers(
  session: Session,
  user: string,
  pairs: readonly Buffer[],
): Promise<Map<string, MemberRow>> {
  if (pairs.length === 0) return new Map();
  const rows = await session.rows<[Buffer, ...MemberColumns]>(
    `SELECT conversation_id, ${MEMBER_COLUMNS} FROM member
     WHERE conversation_id IN (?) AND user_name <> ?`,
    [pairs, Buffer.from(user)],
  );
  return new Map(rows.map(([id, ...columns]) => [keyOf(id), memberRow(columns)]));
}

/** Which message to read, and what was read of it: for the last of its conversation all that is needed. */
export interface Wanted extends Place {
  readonly last: MessageRow | undefined;
}

/**
 * The messages that are wanted, in their order: all of them, or as many of the first as fit in
 * `maxBytes` of bodies, but at least one. Undefined where none is, or no longer; seq 0 is nowhere.
 */
export async function readWanted(
  session: Session,
  wanted: readonly Wanted[],
  maxBytes: number,
): Promise<(StoredMessage | undefined)[]> {
  const rows = wanted.map(({ last, seq }) => (last?.[0] === seq ? last : undefined));
  const others = [...wanted.keys()].filter((n) => wanted[n]!.seq > 0 && rows[n] === undefined);
  for (const [n, row] of await rowsAt(session, wanted, others, MESSAGE_COLUMNS)) rows[n] = row;

  const found = [...rows.entries()].flatMap(([n, row]) => (row ? [{ n, row }] : []));
  const count = countThatFits(
    found.map(({ row }) => row),
    maxBytes,
  );
  const large = found.slice(0, count).flatMap(({ n, row }) => (row[5] === null ? [n] : []));
  // What stands beside a body must be of the same moment.
  for (const [n, row] of await rowsAt(session, wanted, large, WHOLE_COLUMNS)) rows[n] = row;
  const end = found[count]?.n ?? wanted.length;
  return rows.slice(0, end).map((row) => row && messageOf(row));
}

/** A `MessageRow` with its body, whatever its size. */
const WHOLE_COLUMNS = 'seq, edited_at_ms, deleted_at_ms, revision, LENGTH(body), body';

/** The rows of some of the messages, with their numbers. */
async function rowsAt(
  session: Session,
  wanted: readonly Wanted[],
  numbers: readonly number[],
  columns: string,
): Promise<[number, MessageRow][]> {
  const rows = await session.rowsOfEach<[number, ...MessageRow]>(
    `SELECT ?, ${columns} FROM message WHERE conversation_id = ? AND seq = ?`,
    numbers.map((n) => [n, wanted[n]!.conversationId, wanted[n]!.seq]),
  );
  return rows.map(([n, ...row]) => [n, row]);
}

/** Undefined where it was gone before its body was read. */
function messageOf(row: MessageRow): StoredMessage | undefined {
  const [seq, editedAtMs, deletedAtMs, revision, , body] = row;
  return body ? { seq, editedAtMs, deletedAtMs, revision, body } : undefined;
}
