import {
  ANY_CONTENT,
  type Batch,
  type Conversation,
  type NewMessage,
  type Outcome,
  type Placed,
  type Refusal,
} from './model.ts';
import type { ConversationRow, MemberRow } from './standing.ts';

/** What is known of a stored message under its id. */
export interface Known {
  readonly seq: number;
  readonly sender: string;
  readonly sentAtMs: bigint;
  readonly contentHash: Buffer;
}

/** A message that gets a new place. */
export interface Fresh {
  readonly seq: number;
  readonly message: NewMessage;
}

/** What an append adds to a conversation. */
export interface Change {
  readonly conversation: Conversation;
  /** As it stood, locked. */
  readonly before: ConversationRow;
  /** Rows of the senders who have one; in a pair, of both. */
  readonly members: ReadonlyMap<string, MemberRow>;
  /** At least one. */
  readonly fresh: readonly Fresh[];
  readonly imported: boolean;
  readonly nowMs: number;
}

/** Where messages are to stand; `fresh` is to be inserted. */
export interface Places {
  readonly outcomes: Outcome[];
  readonly fresh: Fresh[];
}

/** Which messages a conversation takes. */
export interface Terms {
  /** The conversation's last seq. */
  readonly lastSeq: number;
  /** Whether this sender's messages are taken. */
  readonly mayWrite: (sender: string) => boolean;
  /** Whether a message that is taken is not worth storing. */
  readonly skips: (message: NewMessage) => boolean;
}

/**
 * Gives every message of `batches` its place behind the last one, or finds it among `known`. Batches
 * build on each other; one that is refused leaves no trace.
 */
export function placeBatches(
  batches: readonly Batch[],
  known: Map<string, Known>,
  terms: Terms,
): Places {
  const fresh: Fresh[] = [];
  const outcomes = batches.map((batch): Outcome => {
    const own = placeBatch(batch, known, terms, terms.lastSeq + fresh.length + 1);
    if (own.refused) return { refused: own.refused };
    for (const entry of own.fresh) {
      known.set(entry.message.id, knownOf(entry));
      fresh.push(entry);
    }
    return { placed: own.placed };
  });
  return { outcomes, fresh };
}

type PlacedBatch = { placed: Placed[]; fresh: Fresh[]; refused?: never } | { refused: Refusal };

function placeBatch(
  batch: Batch,
  known: ReadonlyMap<string, Known>,
  { mayWrite, skips }: Terms,
  firstSeq: number,
): PlacedBatch {
  // Before all else: whoever may not write learns nothing of what is stored.
  const stranger = batch.findIndex(({ sender }) => !mayWrite(sender));
  if (stranger >= 0) return { refused: { why: 'notMember', index: stranger } };
  const own = new Map<string, Known>();
  const fresh: Fresh[] = [];
  const placed: Placed[] = [];
  for (const [index, message] of batch.entries()) {
    const { id, sentAtMs } = message;
    const before = known.get(id) ?? own.get(id);
    if (before && !isRepeat(message, before)) return { refused: { why: 'conflict', index } };
    if (before) {
      placed.push({ seq: before.seq, sentAtMs: before.sentAtMs, repeated: true });
    } else if (skips(message)) {
      placed.push({ seq: 0, sentAtMs, repeated: false });
    } else {
      const entry = { seq: firstSeq + fresh.length, message };
      own.set(id, knownOf(entry));
      fresh.push(entry);
      placed.push({ seq: entry.seq, sentAtMs, repeated: false });
    }
  }
  return { placed, fresh };
}

/**
 * What was edited or deleted has lost its hash, because it may come again as it was first said, or as
 * it was exported since: of it only the sender can be compared, where that was not erased.
 */
function isRepeat({ contentHash, sender }: NewMessage, before: Known): boolean {
  if (before.contentHash.equals(contentHash)) return true;
  const isSender = before.sender === sender || before.sender === '';
  return isSender && before.contentHash.equals(ANY_CONTENT);
}

function knownOf({ seq, message: { sender, sentAtMs, contentHash } }: Fresh): Known {
  return { seq, sender, sentAtMs, contentHash };
}

/** The distinct ids of all messages, in no particular order. */
export function idsOf(batches: readonly Batch[]): string[] {
  return [...new Set(batches.flat().map((message) => message.id))];
}

/** The distinct senders of messages, unknown ones left out. */
export function sendersOf(messages: readonly NewMessage[]): string[] {
  const senders = new Set(messages.map(({ sender }) => sender));
  senders.delete('');
  return [...senders];
}
