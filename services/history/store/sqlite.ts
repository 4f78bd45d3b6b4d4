import { idsOf, type Known, sendersOf, settle } from './settle.ts';
import { SqliteFile } from './sqlite-file.ts';
import { SqliteSchema } from './sqlite-schema.ts';
import {
  type Batch,
  type Conversation,
  type HistoryStore,
  KIND,
  nameColumns,
  type Outcome,
  type Range,
  type SchemaAccess,
  type Standing,
  type StoredMessage,
} from './store.ts';

/** A name that nobody can have. */
const NOBODY = Buffer.alloc(0);

/** An id that no conversation has. */
const NO_CONVERSATION = Buffer.alloc(16);

/**
 * The embedded default: one file, no server. Its calls run to their end at once, so they need no
 * signals between their steps, and transactions of one process can't meet; those of several wait for
 * each other.
 */
export class SqliteStore implements HistoryStore {
  readonly schema: SchemaAccess;
  readonly #file: SqliteFile;
  #statements: Statements | undefined;

  /** Opens a file, and makes it and its folder where they are absent. @throws as `SqliteFile` */
  constructor(path: string) {
    this.#file = new SqliteFile(path);
    this.schema = new SqliteSchema(this.#file);
  }

  /** A call has ended before another can ask. */
  readonly connectionsInUse = 0;

  async check(signal: AbortSignal): Promise<void> {
    await this.standing(NO_CONVERSATION, '', signal);
    await this.read(NO_CONVERSATION, { fromSeq: 1, toSeq: 1, newestFirst: true }, 0, signal);
    this.#file.checkWritable();
  }

  async append(
    conversation: Conversation,
    batches: readonly Batch[],
    sendersJoin: boolean,
  ): Promise<Outcome[]> {
    return this.#file.transaction(() =>
      appendIn(this.#prepared(), conversation, batches, sendersJoin),
    );
  }

  async standing(
    conversationId: Buffer,
    user: string | undefined,
    signal: AbortSignal,
  ): Promise<Standing | undefined> {
    signal.throwIfAborted();
    return this.#file.guard(() => {
      const row = this.#prepared().standing.get(
        user === undefined ? NOBODY : Buffer.from(user),
        conversationId,
      );
      if (row === undefined) return undefined;
      const [lastSeq, floorSeq, revision, memberFromSeq] = row as unknown as number[];
      return {
        lastSeq: lastSeq!,
        floorSeq: floorSeq!,
        revision: revision!,
        ...(memberFromSeq !== null && { memberFromSeq: memberFromSeq! }),
      };
    });
  }

  async read(
    conversationId: Buffer,
    range: Range,
    maxBytes: number,
    signal: AbortSignal,
  ): Promise<StoredMessage[]> {
    signal.throwIfAborted();
    return this.#file.guard(() => {
      const { readDown, readUp } = this.#prepared();
      const statement = range.newestFirst ? readDown : readUp;
      const messages: StoredMessage[] = [];
      let bytes = 0;
      for (const row of statement.iterate(conversationId, range.fromSeq, range.toSeq)) {
        const message = messageOf(row as unknown as MessageRow);
        bytes += message.body.length;
        if (bytes > maxBytes && messages.length > 0) break;
        messages.push(message);
      }
      return messages;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#file[Symbol.dispose]();
  }

  /** Statements are prepared at the first call, when the schema is there. */
  #prepared(): Statements {
    this.#statements ??= prepareAll(this.#file);
    return this.#statements;
  }
}

type MessageRow = [number, Uint8Array, number, number, number];

function messageOf([seq, body, editedAtMs, deletedAtMs, revision]: MessageRow): StoredMessage {
  return { seq, body, editedAtMs, deletedAtMs, revision };
}

function prepareAll(file: SqliteFile) {
  const prepare = (sql: string) => file.prepare(sql);
  const read = (order: 'ASC' | 'DESC') =>
    prepare(
      `SELECT seq, body, edited_at_ms, deleted_at_ms, revision FROM message
       WHERE conversation_id = ? AND seq BETWEEN ? AND ? ORDER BY seq ${order}`,
    );
  const find = prepare(
    `SELECT seq, sent_at_ms, content_hash FROM message
     WHERE conversation_id = ? AND message_id = ?`,
  );
  find.setReadBigInts(true); // times may be any 64-bit number
  return {
    standing: prepare(
      `SELECT last_seq, floor_seq, conversation.revision, from_seq FROM conversation
       LEFT JOIN member ON member.conversation_id = conversation.conversation_id AND user_name = ?
       WHERE conversation.conversation_id = ?`,
    ),
    readUp: read('ASC'),
    readDown: read('DESC'),
    find,
    begin: prepare(
      `INSERT INTO conversation
       (conversation_id, kind, name_a, name_b, last_seq, floor_seq, revision, last_sent_at_ms)
       VALUES (?, ?, ?, ?, 0, 1, 0, 0)`,
    ),
    join: prepare(
      `INSERT INTO member (conversation_id, user_name, from_seq) VALUES (?, ?, 1)
       ON CONFLICT DO NOTHING`,
    ),
    joinUser: prepare(
      `INSERT INTO membership (user_name, conversation_id) VALUES (?, ?) ON CONFLICT DO NOTHING`,
    ),
    insert: prepare(
      `INSERT INTO message
       (conversation_id, seq, message_id, sender, sent_at_ms, content_hash, body)
       VALUES (?, ?, ?, ?, ?, ?, ?)`,
    ),
    advance: prepare(
      'UPDATE conversation SET last_seq = ?, last_sent_at_ms = ? WHERE conversation_id = ?',
    ),
  };
}

type Statements = ReturnType<typeof prepareAll>;

/** Runs inside a transaction; writes nothing unless a message gets a new place. */
function appendIn(
  statements: Statements,
  conversation: Conversation,
  batches: readonly Batch[],
  sendersJoin: boolean,
): Outcome[] {
  const row = statements.standing.get(NOBODY, conversation.id);
  const known = new Map<string, Known>();
  if (row !== undefined) findKnown(statements, conversation.id, idsOf(batches), known);
  const lastSeq = row === undefined ? 0 : (row as unknown as number[])[0]!;
  const { outcomes, fresh } = settle(batches, known, lastSeq);
  const last = fresh.at(-1);
  if (last === undefined) return outcomes;

  const joining = sendersJoin ? sendersOf(fresh) : [];
  if (row === undefined) {
    const [nameA, nameB] = nameColumns(conversation);
    statements.begin.run(conversation.id, KIND[conversation.kind], nameA, nameB);
    if (conversation.kind === 'pair') joining.push(...conversation.names);
  }
  for (const user of joining) {
    const name = Buffer.from(user);
    statements.joinUser.run(name, conversation.id);
    statements.join.run(conversation.id, name);
  }
  for (const { seq, message } of fresh) {
    const { id, sender, sentAtMs, contentHash, body } = message;
    const [idBytes, senderBytes] = [Buffer.from(id), Buffer.from(sender)];
    statements.insert.run(conversation.id, seq, idBytes, senderBytes, sentAtMs, contentHash, body);
  }
  statements.advance.run(last.seq, last.message.sentAtMs, conversation.id);
  return outcomes;
}

function findKnown(
  statements: Statements,
  conversationId: Buffer,
  ids: readonly string[],
  known: Map<string, Known>,
): void {
  for (const id of ids) {
    const row = statements.find.get(conversationId, Buffer.from(id));
    if (row === undefined) continue;
    const [seq, sentAtMs, contentHash] = row as unknown as [bigint, bigint, Uint8Array];
    known.set(id, { seq: Number(seq), sentAtMs, contentHash: Buffer.from(contentHash) });
  }
}
