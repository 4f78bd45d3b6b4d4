/** What a conversation is, and how the store names it. */
export interface Conversation {
  /** 16 bytes made of kind and names; the leading key of all that belongs to it. */
  readonly id: Buffer;
  readonly kind: 'pair' | 'group';
  /** A pair's two users sorted as bytes (twice the same for oneself); a group's name alone. */
  readonly names: readonly string[];
}

/** Where a message stands. */
export interface Place {
  readonly conversationId: Buffer;
  readonly seq: number;
}

/** Stands before the id of every conversation. */
export const BEFORE_ALL: Buffer = Buffer.alloc(16);

/** A conversation's id, as the key of a map. */
export function keyOf(conversationId: Buffer): string {
  return conversationId.toString('hex');
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
  /** When it vanishes; 0 for never. */
  readonly expiresAtMs: bigint;
  /** Empty outside threads; else at most 128 bytes of UTF-8. */
  readonly thread: string;
  /** Bits that tell what it holds. */
  readonly kinds: number;
  /** It is unread for nobody. */
  readonly isQuiet: boolean;
}

/** The hash of a message that was edited or deleted: what comes under its id from its sender is a repeat. */
export const ANY_CONTENT: Buffer = Buffer.alloc(16);

/** On which terms messages are appended. */
export interface Rules {
  /**
   * Whose messages a group takes, and what becomes of them. `members`: members' alone. `join`: in a
   * group that nobody created anybody's, and the senders are members from seq 1; in one that was
   * created members' alone, or anybody's where they are imported. `any`: anybody's, and nobody joins.
   */
  readonly senders: 'members' | 'join' | 'any';
  /** The service's clock, in milliseconds since 1970; asked while the conversation is locked. */
  readonly nowMs: () => number;
  /**
   * The messages are old: they raise no marks and count as read, and what has expired or is older than
   * `retentionMs` (0 for none; a conversation's own comes first) is skipped.
   */
  readonly imported?: { readonly retentionMs: number };
}

/** Messages that stand or fall together. */
export type Batch = readonly NewMessage[];

/** Where one message stands. */
export interface Placed {
  /** 0 where it was skipped. */
  readonly seq: number;
  /** As stored: a repeat is told the time of the first. */
  readonly sentAtMs: bigint;
  /** It stood there before, or earlier in the same call; nothing was added. */
  readonly repeated: boolean;
}

/** Why nothing of a batch was stored; `index` is that of the first message at fault. */
export type Refusal =
  /** Its id was used for another message. */
  | { readonly why: 'conflict'; readonly index: number }
  /** Its sender is no member of the group, or there is no such group. */
  | { readonly why: 'notMember'; readonly index: number }
  | { readonly why: 'groupDeleted'; readonly index?: never };

/** What became of a batch: a place for each message, or why it was refused as a whole. */
export type Outcome =
  | { readonly placed: readonly Placed[]; readonly refused?: never }
  | { readonly placed?: never; readonly refused: Refusal };

/** A stored message, ready to be copied into a frame. */
export interface StoredMessage {
  readonly seq: number;
  readonly body: Uint8Array;
  /** 0 for never, as in the two that follow. */
  readonly editedAtMs: number;
  readonly deletedAtMs: number;
  readonly revision: number;
}
