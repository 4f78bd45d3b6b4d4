import { createHash } from 'node:crypto';
import { create, toBinary } from '@bufbuild/protobuf';
import {
  type Message,
  MessageSchema,
} from '../../../clients/gen/backscroll/history/v1/message_pb.ts';
import type { Conversation } from '../../../clients/history/conversation.ts';

interface Entry {
  readonly fingerprint: string;
  /** When it was acknowledged, counted over the conversation; absent before that. */
  acknowledged?: { readonly writer: string; readonly seq: bigint | undefined };
}

interface Kept {
  readonly name: Conversation;
  readonly entries: Map<string, Entry>;
  /** Ids in the order in which each writer had them acknowledged. */
  readonly order: Map<string, string[]>;
  highestSeq: bigint;
}

/**
 * What a history service was given and what it promised to keep, to be compared with what it holds.
 * A message that was sent may be stored or not; one that was acknowledged must be.
 */
export class HistoryLedger {
  readonly #conversations = new Map<string, Kept>();

  /** The messages are about to leave. */
  sending(name: Conversation, messages: readonly Message[]): void {
    const conversation = this.#open(name);
    for (const message of messages) {
      if (conversation.entries.has(message.id)) throw new Error(`id ${message.id} was sent before`);
      conversation.entries.set(message.id, { fingerprint: fingerprint(message) });
    }
  }

  /** The service said that it keeps these messages of one writer; `seqs` where it told them. */
  acknowledged(
    name: Conversation,
    writer: string,
    ids: readonly string[],
    seqs?: readonly bigint[],
  ): void {
    const conversation = this.#open(name);
    const order = conversation.order.get(writer) ?? [];
    conversation.order.set(writer, order);
    for (const [index, id] of ids.entries()) {
      const entry = conversation.entries.get(id);
      if (!entry) throw new Error(`id ${id} was acknowledged and never sent`);
      const seq = seqs?.[index];
      entry.acknowledged = { writer, seq };
      order.push(id);
      if (seq !== undefined && seq > conversation.highestSeq) conversation.highestSeq = seq;
    }
  }

  /** Every conversation that something was sent to. */
  names(): Conversation[] {
    return [...this.#conversations.values()].map((conversation) => conversation.name);
  }

  /** Highest seq that was acknowledged in a conversation, 0 for none: no later read may end below it. */
  highestSeq(name: Conversation): bigint {
    return this.#open(name).highestSeq;
  }

  /** How many messages were acknowledged. */
  acknowledgedCount(): number {
    let count = 0;
    for (const { order } of this.#conversations.values()) {
      for (const ids of order.values()) count += ids.length;
    }
    return count;
  }

  /** Compares a whole conversation, oldest first, with what was promised: one line a fault. */
  faults(name: Conversation, stored: readonly Message[]): string[] {
    const { entries, order } = this.#open(name);
    const faults: string[] = [];
    const seqs = new Map<string, bigint>();
    for (const [index, message] of stored.entries()) {
      const entry = entries.get(message.id);
      const seq = message.seq;
      if (seq !== BigInt(index + 1)) faults.push(`hole: seq ${seq} where ${index + 1} was due`);
      const earlier = seqs.get(message.id);
      if (earlier !== undefined) faults.push(`doubled: ${message.id} at ${earlier} and ${seq}`);
      else seqs.set(message.id, seq);
      if (!entry) faults.push(`unknown: ${message.id} was never sent`);
      else if (entry.fingerprint !== fingerprint(message)) faults.push(`altered: ${message.id}`);
    }
    for (const [id, entry] of entries) {
      if (!entry.acknowledged) continue;
      const seq = seqs.get(id);
      const promised = entry.acknowledged.seq;
      if (seq === undefined) faults.push(`lost: ${id} was acknowledged`);
      else if (promised !== undefined && promised !== seq) {
        faults.push(`moved: ${id} was acknowledged at ${promised} and is at ${seq}`);
      }
    }
    for (const [writer, ids] of order) faults.push(...disorder(writer, ids, seqs));
    return faults.map((fault) => `${conversationKey(name)}: ${fault}`);
  }

  #open(name: Conversation): Kept {
    const key = conversationKey(name);
    let conversation = this.#conversations.get(key);
    if (!conversation) {
      conversation = { name, entries: new Map(), order: new Map(), highestSeq: 0n };
      this.#conversations.set(key, conversation);
    }
    return conversation;
  }
}

/** A conversation's name in words, the same for both users of a pair. */
export function conversationKey(name: Conversation): string {
  if (name.group !== undefined) return `group ${name.group}`;
  return `pair ${[name.user, name.peer].sort().join(' and ')}`;
}

function disorder(writer: string, ids: string[], seqs: Map<string, bigint>): string[] {
  const faults: string[] = [];
  let highest = 0n;
  for (const id of ids) {
    const seq = seqs.get(id);
    if (seq === undefined) continue;
    if (seq < highest) faults.push(`disorder: ${id} of ${writer} at ${seq}, behind ${highest}`);
    else highest = seq;
  }
  return faults;
}

/** All that a message says, its seq apart: what the service sets after storing must be unset. */
function fingerprint(message: Message): string {
  const bytes = toBinary(MessageSchema, create(MessageSchema, { ...message, seq: 0n }));
  return createHash('sha256').update(bytes).digest('base64');
}
