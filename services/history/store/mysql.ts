import { STORE } from '../limits.ts';
import { KnownMembers } from './known-members.ts';
import { advance, find, insert, lock } from './mysql-append.ts';
import { isDuplicate, MysqlDatabase, type Session } from './mysql-database.ts';
import { MysqlSchema } from './mysql-schema.ts';
import { type Settled, sendersOf, settle } from './settle.ts';
import type {
  Batch,
  Conversation,
  HistoryStore,
  Outcome,
  Range,
  SchemaAccess,
  Standing,
  StoredMessage,
} from './store.ts';

/** Bodies up to this size come with their row; a whole read of larger ones could not be held. */
const SMALL_BODY_BYTES = 4 * 1024;

/** Every table, with the column that its keys begin with. */
const LEADING_KEYS = {
  conversation: 'conversation_id',
  message: 'conversation_id',
  member: 'conversation_id',
  membership: 'user_name',
} as const;

/** MySQL 8.0 or newer, or what speaks like it; any number of replicas of the service over it. */
export class MysqlStore implements HistoryStore {
  readonly schema: SchemaAccess;
  readonly #database: MysqlDatabase;
  #expectRepeats = false;
  readonly #members = new KnownMembers(STORE.knownMembers);

  /** `url`: `mysql://user:password@host:port/database`. It connects when it is first used. */
  constructor(url: string) {
    this.#database = new MysqlDatabase(url);
    this.schema = new MysqlSchema(this.#database);
  }

  get connectionsInUse(): number {
    return this.#database.connectionsInUse;
  }

  async check(signal: AbortSignal): Promise<void> {
    await this.#database.transaction(async (session) => {
      // Refused where this user may not write now: the server is read only after a failover.
      await session.query('START TRANSACTION READ WRITE', []);
      for (const [table, key] of Object.entries(LEADING_KEYS)) {
        signal.throwIfAborted();
        await session.query(`SELECT 1 FROM ${table} WHERE ${key} = ? LIMIT 1`, [Buffer.alloc(16)]);
      }
      return { value: undefined, commit: false };
    });
  }

  async append(
    conversation: Conversation,
    batches: readonly Batch[],
    sendersJoin: boolean,
  ): Promise<Outcome[]> {
    let joining: string[] = [];
    const outcomes = await this.#database.transaction(async (session) => {
      const { lastSeq, begins } = await lock(session, conversation);
      const { outcomes, fresh } = await this.#place(session, conversation, batches, lastSeq);
      const last = fresh.at(-1);
      if (last === undefined) return { value: outcomes, commit: false };

      joining = this.#members.unknown(conversation, [
        ...(begins && conversation.kind === 'pair' ? conversation.names : []),
        ...(sendersJoin ? sendersOf(fresh) : []),
      ]);
      if (joining.length > 0) await this.#join(session, conversation, joining);
      await advance(session, conversation, last);
      return { value: outcomes, commit: true };
    });
    this.#members.add(conversation, joining);
    return outcomes;
  }

  async standing(
    conversationId: Buffer,
    user: string | undefined,
    signal: AbortSignal,
  ): Promise<Standing | undefined> {
    const [row] = await this.#database.run(
      (session) =>
        session.execute<[number, number, number, number | null]>(
          `SELECT last_seq, floor_seq, revision, from_seq FROM conversation
           LEFT JOIN member ON member.conversation_id = conversation.conversation_id AND user_name = ?
           WHERE conversation.conversation_id = ?`,
          [Buffer.from(user ?? ''), conversationId],
        ),
      signal,
    );
    if (row === undefined) return undefined;
    const [lastSeq, floorSeq, revision, memberFromSeq] = row;
    return { lastSeq, floorSeq, revision, ...(memberFromSeq !== null && { memberFromSeq }) };
  }

  async read(
    conversationId: Buffer,
    range: Range,
    maxBytes: number,
    signal: AbortSignal,
  ): Promise<StoredMessage[]> {
    const rows = await this.#database.run(
      (session) =>
        session.execute<MessageRow>(
          `SELECT seq, edited_at_ms, deleted_at_ms, revision, LENGTH(body),
             IF(LENGTH(body) > ${SMALL_BODY_BYTES}, NULL, body)
           FROM message WHERE conversation_id = ? AND seq BETWEEN ? AND ?
           ORDER BY seq ${range.newestFirst ? 'DESC' : 'ASC'}`,
          [conversationId, range.fromSeq, range.toSeq],
        ),
      signal,
    );
    const kept = rows.slice(0, countThatFits(rows, maxBytes));
    const large = kept.filter((row) => row[5] === null).map((row) => row[0]);
    const bodies = await this.#bodies(conversationId, large, signal);
    return kept.map(([seq, editedAtMs, deletedAtMs, revision, , body]) => ({
      seq,
      body: body ?? bodies.get(seq)!,
      editedAtMs,
      deletedAtMs,
      revision,
    }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#database[Symbol.asyncDispose]();
  }

  async #bodies(
    conversationId: Buffer,
    seqs: number[],
    signal: AbortSignal,
  ): Promise<Map<number, Buffer>> {
    if (seqs.length === 0) return new Map();
    const rows = await this.#database.run(
      (session) =>
        session.query<[number, Buffer]>(
          'SELECT seq, body FROM message WHERE conversation_id = ? AND seq IN (?)',
          [conversationId, seqs],
        ),
      signal,
    );
    return new Map(rows);
  }

  /**
   * Inserts what is new. Mostly all is: so ids are looked up only where the unique key refused one
   * (which undoes the statement, and no more), or where the last call brought repeats as well, since
   * repeats seldom come alone.
   */
  async #place(
    session: Session,
    conversation: Conversation,
    batches: readonly Batch[],
    lastSeq: number,
  ): Promise<Settled> {
    if (lastSeq === 0 || !this.#expectRepeats) {
      const settled = settle(batches, new Map(), lastSeq);
      try {
        await insert(session, conversation, settled.fresh);
        return settled;
      } catch (error) {
        if (!isDuplicate(error)) throw error;
      }
    }
    const known = await find(session, conversation, batches);
    this.#expectRepeats = known.size > 0;
    const settled = settle(batches, known, lastSeq);
    await insert(session, conversation, settled.fresh);
    return settled;
  }

  /**
   * Makes users members from seq 1. Their memberships stand in other shards, and must be there first:
   * so they are written by themselves, and one that ends up without its member row does no harm.
   */
  async #join(session: Session, conversation: Conversation, users: string[]): Promise<void> {
    const names = users.map((user) => Buffer.from(user)).sort(Buffer.compare);
    await this.#database.run((other) =>
      other.query(
        `INSERT INTO membership (user_name, conversation_id) VALUES ?
         ON DUPLICATE KEY UPDATE conversation_id = VALUES(conversation_id)`,
        [names.map((name) => [name, conversation.id])],
      ),
    );
    await session.query(
      `INSERT INTO member (conversation_id, user_name, from_seq) VALUES ?
       ON DUPLICATE KEY UPDATE user_name = VALUES(user_name)`,
      [names.map((name) => [conversation.id, name, 1])],
    );
  }
}

type MessageRow = [number, number, number, number, number, Buffer | null];

function countThatFits(rows: readonly MessageRow[], maxBytes: number): number {
  let bytes = 0;
  const past = rows.findIndex((row) => {
    bytes += row[4];
    return bytes > maxBytes;
  });
  return past < 0 ? rows.length : Math.max(past, 1);
}
