import { append, type Expectation } from './append.ts';
import type { Database } from './database.ts';
import { read } from './read.ts';
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
import { TABLES } from './tables.ts';

/** The history in a SQL database, which it closes in the end. Every statement is written once, for all engines. */
export class SqlStore implements HistoryStore {
  readonly #database: Database;
  readonly #expect: Expectation = { repeats: false };

  constructor(database: Database) {
    this.#database = database;
  }

  get connectionsInUse(): number {
    return this.#database.connectionsInUse;
  }

  get schema(): SchemaAccess {
    return this.#database.schema;
  }

  async check(signal: AbortSignal): Promise<void> {
    await this.#database.check(signal);
    await this.#database.run(async (session) => {
      for (const { name, key } of TABLES) {
        await session.rows(`SELECT 1 FROM ${name} WHERE ${key[0]} = ? LIMIT 1`, [Buffer.alloc(16)]);
      }
    }, signal);
  }

  append(
    conversation: Conversation,
    batches: readonly Batch[],
    sendersJoin: boolean,
  ): Promise<Outcome[]> {
    return this.#database.transaction((transaction) =>
      append(transaction, conversation, batches, sendersJoin, this.#expect),
    );
  }

  async standing(
    conversationId: Buffer,
    user: string | undefined,
    signal: AbortSignal,
  ): Promise<Standing | undefined> {
    const [row] = await this.#database.run(
      (session) =>
        session.rows<[number, number, number, number | null]>(
          `SELECT last_seq, floor_seq, conversation.revision, from_seq FROM conversation
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

  read(
    conversationId: Buffer,
    range: Range,
    maxBytes: number,
    signal: AbortSignal,
  ): Promise<StoredMessage[]> {
    return this.#database.run((session) => read(session, conversationId, range, maxBytes), signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#database[Symbol.asyncDispose]();
  }
}
