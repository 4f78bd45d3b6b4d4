import { setImmediate } from 'node:timers/promises';
import type { DescMessage } from '@bufbuild/protobuf';
import { damaged } from '../../backup/damaged.ts';
import { isReason } from '../../errors.ts';
import { ProfileSchema } from '../../gen/backscroll/history/v1/directory_pb.ts';
import { ContentSchema, MessageSchema } from '../../gen/backscroll/history/v1/message_pb.ts';
import { cancelled } from '../../stream-faults.ts';
import { NAME_BYTES } from './checks.ts';
import { decoded } from './decoded.ts';
import { KIND } from './message.ts';
import type { Sqlite, Value } from './sqlite.ts';

/** Numbers from here on are not read exactly. */
const HIGHEST = Number.MAX_SAFE_INTEGER;

/** What is counted up is to have room left to count on. */
const HIGHEST_COUNT = 2 ** 52;

/** Bytes of a message or profile, at most: several times what the service takes. */
const BLOB_BYTES = 1024 ** 2;

/** Rows that are decoded before others have their turn, */
const AT_ONCE = 1_000;

/** and that SQLite looks at. */
const PIECE_ROWS = 20_000;

const ALL_KINDS = Object.values(KIND).reduce((all, kind) => all | kind);

/** SQL that holds for rows at fault, by what is wrong with them. */
type Rules = Readonly<Record<string, string>>;

/** Columns that hold whole numbers from `low` to `high`. */
function bounds(low: number, high: number, ...columns: readonly string[]): Rules {
  return Object.fromEntries(
    columns.map((column) => [
      `whose ${column} is out of bounds`,
      `${column} NOT BETWEEN ${low} AND ${high}`,
    ]),
  );
}

function length(column: string): Rules {
  return { [`whose ${column} is too long`]: `length(${column}) > ${BLOB_BYTES}` };
}

const OF_CONVERSATION: Rules = {
  'of no conversation': 'conversation_id NOT IN (SELECT id FROM conversation)',
};

/**
 * What the device relies upon in rows, by table, beyond what SQLite sees to by itself. Times are
 * anybody's, and may be below 0.
 */
const RULES: Readonly<Record<string, Rules>> = {
  device: {
    'whose value has no room to count on': `value > ${HIGHEST_COUNT} AND name = 'writes'
      OR name = 'inbox' AND value ->> 'begun' > ${HIGHEST_COUNT}`,
  },
  conversation: {
    ...bounds(1, 2, 'kind'),
    "whose name is nobody's": `octet_length(name) NOT BETWEEN 1 AND ${NAME_BYTES}`,
    ...bounds(0, 2, 'listed'),
    ...bounds(1, HIGHEST_COUNT, 'id'),
    ...bounds(0, HIGHEST_COUNT, 'landings', 'forgets', 'round'),
    ...bounds(-1, HIGHEST, 'epoch', 'round_seq'),
    ...bounds(1, HIGHEST, 'floor_seq'),
    ...bounds(
      0,
      HIGHEST,
      'state',
      'user_revision',
      'last_seq',
      'told_seq',
      'revision',
      'told_revision',
    ),
    ...bounds(0, HIGHEST, 'read_seq', 'delivered_seq', 'told_read_seq', 'told_delivered_seq'),
    ...bounds(0, HIGHEST, 'peer_read_seq', 'peer_delivered_seq'),
    ...bounds(0, HIGHEST, 'unread_count', 'unread_from_seq', 'unread_to_seq'),
    ...bounds(-HIGHEST, HIGHEST, 'last_at_ms'),
  },
  known: {
    ...OF_CONVERSATION,
    ...bounds(1, HIGHEST, 'from_seq', 'to_seq'),
    'that ends before it begins': 'to_seq < from_seq',
    'without a gap to the next': `EXISTS (
      SELECT 1 FROM known AS next
      WHERE next.conversation_id = known.conversation_id AND next.filter = known.filter
        AND next.from_seq > known.from_seq AND next.from_seq <= known.to_seq + 1
    )`,
  },
  message: {
    ...OF_CONVERSATION,
    ...bounds(1, HIGHEST, 'seq'),
    ...bounds(0, HIGHEST, 'revision'),
    ...bounds(-HIGHEST, HIGHEST, 'sent_at_ms', 'edited_at_ms', 'deleted_at_ms', 'expires_at_ms'),
    ...bounds(0, ALL_KINDS, 'kinds'),
    ...length('more'),
  },
  outbox: {
    ...OF_CONVERSATION,
    ...bounds(1, HIGHEST_COUNT, 'id'),
    ...bounds(-HIGHEST, HIGHEST, 'created_at_ms', 'expires_at_ms'),
    ...length('body'),
  },
  // What SQLite makes the next id of the outbox of.
  sqlite_sequence: {
    'whose seq is out of bounds': `name = 'outbox'
      AND (typeof(seq) <> 'integer' OR seq NOT BETWEEN 0 AND ${HIGHEST_COUNT})`,
  },
  profile: {
    ...bounds(-HIGHEST, HIGHEST, 'updated_at_ms'),
    ...bounds(0, HIGHEST, 'asked_at_ms'),
    ...length('body'),
  },
  file: {
    ...OF_CONVERSATION,
    ...bounds(1, HIGHEST, 'seq'),
    ...bounds(0, HIGHEST, 'position'),
    // It becomes a part of a path.
    'whose sha256 is none': "octet_length(sha256) <> 64 OR sha256 GLOB '*[^0-9a-f]*'",
    'with both a sha256 and a failure, or neither': '(sha256 IS NULL) = (failure IS NULL)',
  },
};

/** What stands encoded in rows. */
const BLOBS: readonly (readonly [table: string, column: string, schema: DescMessage])[] = [
  ['message', 'more', ContentSchema],
  ['outbox', 'body', MessageSchema],
  ['profile', 'body', ProfileSchema],
];

/**
 * Refuses, with DATABASE_DAMAGED and what is wrong, a database of the current schema whose rows are not
 * what a device writes: whole for SQLite, it would fail the device later, again and again. Reads all of
 * it, in little memory; a signal that fires ends it with CANCELLED.
 */
export async function checkContent(sqlite: Sqlite, signal: AbortSignal): Promise<void> {
  const faults: string[] = [];
  for (const [table, rules] of Object.entries(RULES)) {
    faults.push(...(await faultsOf(sqlite, table, rules, signal)));
  }
  // What is too long would take too much memory.
  if (faults.length > 0) throw damaged(sqlite.path, faults.join('; '));
  for (const [table, column, schema] of BLOBS) {
    const count = await countUnreadable(sqlite, table, column, schema, signal);
    if (count > 0) faults.push(told(table, count, `whose ${column} is no ${schema.name}`));
  }
  if (faults.length > 0) throw damaged(sqlite.path, faults.join('; '));
}

async function faultsOf(
  sqlite: Sqlite,
  table: string,
  rules: Rules,
  signal: AbortSignal,
): Promise<string[]> {
  const sums = Object.values(rules).map((rule) => `count(*) FILTER (WHERE ${rule})`);
  const counts = sums.map(() => 0);
  for (const [where, ...values] of piecesOf(sqlite, table)) {
    await turn(signal);
    const sql = `SELECT ${sums.join(', ')} FROM ${table} WHERE ${where}`;
    const [found] = sqlite.arrays(sql, ...values);
    for (const [n, count] of found!.entries()) counts[n]! += Number(count);
  }
  return Object.keys(rules).flatMap((fault, n) => {
    const count = counts[n]!;
    return count > 0 ? [told(table, count, fault)] : [];
  });
}

/** A part of a table: a condition on its rows, and what that binds. */
type Piece = readonly [where: string, ...values: Value[]];

/** All of a table, in pieces that are read in a short time: messages may be many, and nothing else. */
function* piecesOf(sqlite: Sqlite, table: string): Generator<Piece> {
  if (table !== 'message') return yield ['TRUE'];
  let from: Value[] = [Number.NEGATIVE_INFINITY, 0];
  for (;;) {
    const [next] = sqlite.arrays(
      `SELECT conversation_id, seq FROM message WHERE (conversation_id, seq) >= (?, ?)
       ORDER BY conversation_id, seq LIMIT 1 OFFSET ${PIECE_ROWS}`,
      ...from,
    );
    if (!next) return yield ['(conversation_id, seq) >= (?, ?)', ...from];
    yield [
      '(conversation_id, seq) >= (?, ?) AND (conversation_id, seq) < (?, ?)',
      ...from,
      ...next,
    ];
    from = next;
  }
}

async function countUnreadable(
  sqlite: Sqlite,
  table: string,
  column: string,
  schema: DescMessage,
  signal: AbortSignal,
): Promise<number> {
  let unreadable = 0;
  for (const [where, ...values] of piecesOf(sqlite, table)) {
    let count = 0;
    const sql = `SELECT ${column} FROM ${table} WHERE ${column} IS NOT NULL AND ${where}`;
    for (const [bytes] of sqlite.each(sql, ...values)) {
      if (count++ % AT_ONCE === 0) await turn(signal);
      if (!isReadable(schema, bytes as Uint8Array)) unreadable++;
    }
    await turn(signal);
  }
  return unreadable;
}

function isReadable(schema: DescMessage, bytes: Uint8Array): boolean {
  try {
    decoded(schema, bytes);
    return true;
  } catch (error) {
    if (isReason(error, 'DATABASE_DAMAGED')) return false;
    throw error;
  }
}

function told(table: string, count: number, fault: string): string {
  return `${table}: ${count} ${count === 1 ? 'row' : 'rows'} ${fault}`;
}

/** Lets others have their turn. */
async function turn(signal: AbortSignal): Promise<void> {
  await setImmediate();
  if (signal.aborted) throw cancelled(signal.reason);
}
