import type { Batch, NewMessage, Outcome, Placed } from './model.ts';

/** What is known of a stored message under its id. */
export interface Known {
  readonly seq: number;
  readonly sentAtMs: bigint;
  readonly contentHash: Buffer;
}

/** A message that gets a new place. */
export interface Fresh {
  readonly seq: number;
  readonly message: NewMessage;
}

/** What `settle` decided; `fresh` is to be inserted. */
export interface Settled {
  readonly outcomes: Outcome[];
  readonly fresh: Fresh[];
}

/**
 * Gives every message of `batches` its place behind `lastSeq`, or finds it among `known`. Batches
 * build on each other; one with a conflict leaves no trace.
 */
export function settle(
  batches: readonly Batch[],
  known: Map<string, Known>,
  lastSeq: number,
): Settled {
  const fresh: Fresh[] = [];
  const outcomes = batches.map((batch): Outcome => {
    const first = lastSeq + fresh.length + 1;
    const settled = settleBatch(batch, known, first);
    if (settled.conflictAt !== undefined) return { conflictAt: settled.conflictAt };
    for (const entry of settled.fresh) {
      known.set(entry.message.id, knownOf(entry));
      fresh.push(entry);
    }
    return { placed: settled.placed };
  });
  return { outcomes, fresh };
}

type SettledBatch =
  | { placed: Placed[]; fresh: Fresh[]; conflictAt?: never }
  | { conflictAt: number };

function settleBatch(
  batch: Batch,
  known: ReadonlyMap<string, Known>,
  firstSeq: number,
): SettledBatch {
  const own = new Map<string, Known>();
  const fresh: Fresh[] = [];
  const placed: Placed[] = [];
  for (const [index, message] of batch.entries()) {
    const before = known.get(message.id) ?? own.get(message.id);
    if (before === undefined) {
      const entry = { seq: firstSeq + fresh.length, message };
      own.set(message.id, knownOf(entry));
      fresh.push(entry);
      placed.push({ seq: entry.seq, sentAtMs: message.sentAtMs, repeated: false });
    } else if (before.contentHash.equals(message.contentHash)) {
      placed.push({ seq: before.seq, sentAtMs: before.sentAtMs, repeated: true });
    } else {
      return { conflictAt: index };
    }
  }
  return { placed, fresh };
}

function knownOf({ seq, message }: Fresh): Known {
  return { seq, sentAtMs: message.sentAtMs, contentHash: message.contentHash };
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
