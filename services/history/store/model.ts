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
