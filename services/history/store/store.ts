/** What a conversation is, and how the store names it. */
export interface Conversation {
  /** 16 bytes made of kind and names; the leading key of all that belongs to it. */
  readonly id: Buffer;
  readonly kind: 'pair' | 'group';
  /** A pair's two users sorted as bytes (twice the same for oneself); a group's name alone. */
  readonly names: readonly string[];
}

/** How `kind` is stored. */
export const KIND = { pair: 1, group: 2 } as const;

/** The names as they are stored in two columns. */
export function nameColumns(conversation: Conversation): [Buffer, Buffer] {
  const [first = '', second = ''] = conversation.names;
  return [Buffer.from(first), Buffer.from(second)];
}

/** A message to store: checked, and encoded as it will be sent. */
export interface NewMessage {
  /** Unique in its conversation, 1 to 128 bytes of UTF-8. */
  readonly id: string;
  /** Empty for unknown. */
  readonly sender: string;
  readonly sentAtMs: bigint;
  /** 16 bytes over id, sender and content: tells a repeat from another message under the same id. */
  readonly contentHash: Buffer;
  /** Kept and given back as it is, whatever it holds. */
  readonly body: Buffer;
}

/** Messages that stand or fall together. */
export type Batch = readonly NewMessage[];

/** Where one message stands. */
export interface Placed {
  readonly seq: number;
  /** As stored: a repeat is told the time of the first. */
  readonly sentAtMs: bigint;
  /** It stood there before, or earlier in the same call; nothing was added. */
  readonly repeated: boolean;
}

/**
 * What became of a batch: a place for each message, or the index of the first message whose id was
 * used for another one; nothing of such a batch is stored.
 */
export type Outcome =
  | { readonly placed: readonly Placed[]; readonly conflictAt?: never }
  | { readonly placed?: never; readonly conflictAt: number };

/** A conversation as it stands at one moment. */
export interface Standing {
  /** Highest seq; 0 before the first message. */
  readonly lastSeq: number;
  /** Lowest seq that is kept. */
  readonly floorSeq: number;
  /** Counts edits and deletions. */
  readonly revision: number;
  /** Lowest seq that the user asked for may see; absent where they are no member, or none was asked for. */
  readonly memberFromSeq?: number;
}

/** A stored message, ready to be copied into a frame. */
export interface StoredMessage {
  readonly seq: number;
  readonly body: Uint8Array;
  /** 0 for never, as in the two that follow. */
  readonly editedAtMs: number;
  readonly deletedAtMs: number;
  readonly revision: number;
}

/** Which messages to read: seqs from `fromSeq` to `toSeq`, both inclusive. */
export interface Range {
  readonly fromSeq: number;
  readonly toSeq: number;
  readonly newestFirst: boolean;
}

/** What changing the schema takes; `migrate` of the kit works through it. */
export interface SchemaAccess {
  /** Keeps everybody else out until it is disposed of, or its holder dies. The other methods need it but for `applied`. */
  lock(): Promise<AsyncDisposable>;
  execute(statement: string): Promise<void>;
  /** Names of the migrations that were recorded. */
  applied(): Promise<string[]>;
  record(name: string): Promise<void>;
}

/**
 * Conversations and their messages in one database. Any number of processes may work on the same
 * database at once.
 *
 * Every method throws UNAVAILABLE, reason STORE_UNAVAILABLE, where the database is gone, hangs, is full
 * or read only, has an old schema, or stays too busy for as long as the store tries again by itself; a write may then have happened or
 * not, and is safe to repeat. `signal` ends a method at once with the signal's reason; a
 * statement that runs then ends by itself, within its time. What is stored and can't be read any more
 * is DATA_LOSS, reason DAMAGED.
 */
export interface HistoryStore extends AsyncDisposable {
  /** Connections that calls hold at this moment; 0 where none is in flight. */
  readonly connectionsInUse: number;

  readonly schema: SchemaAccess;

  /**
   * Resolves where calls could be answered now, as far as a look at each table and the permission to
   * write tell; else rejects with what is wrong. Its cost is that of one small page.
   */
  check(signal: AbortSignal): Promise<void>;

  /**
   * Stores each batch at the end of the conversation, in the order given, in one transaction that is
   * durable when this returns; the outcomes stand in the order of the batches. Seqs are 1, 2, 3, …
   * without holes, whoever writes at the same time. A message whose id is known with the same
   * `contentHash` is a repeat: it keeps its place.
   *
   * The conversation begins with its first message, and a pair's two users are its members from then
   * on. With `sendersJoin` the senders of messages that were added become members, too, from seq 1;
   * members stay as they are.
   *
   * A transaction whose outcome was lost is done again: its messages then count as repeated.
   */
  append(
    conversation: Conversation,
    batches: readonly Batch[],
    sendersJoin: boolean,
  ): Promise<Outcome[]>;

  /**
   * The conversation as it stands now, with the membership of `user` if one is given; undefined where
   * it never began. What it says is of one moment.
   */
  standing(
    conversationId: Buffer,
    user: string | undefined,
    signal: AbortSignal,
  ): Promise<Standing | undefined>;

  /**
   * The first messages of `range` in its order: all of them, or as many as fit in `maxBytes` of
   * bodies, but at least one where there is any. Holds little more than `maxBytes` whatever the
   * messages' sizes, and nothing after it returns.
   */
  read(
    conversationId: Buffer,
    range: Range,
    maxBytes: number,
    signal: AbortSignal,
  ): Promise<StoredMessage[]>;
}
