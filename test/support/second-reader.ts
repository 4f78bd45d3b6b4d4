import { hash } from 'node:crypto';
import { toBinary } from '@bufbuild/protobuf';
import { BackscrollError } from '../../clients/errors.ts';
import type { SyncResult } from '../../clients/gen/backscroll/history/v1/history_pb.ts';
import {
  type Conversation,
  MemberState,
} from '../../clients/gen/backscroll/history/v1/inbox_pb.ts';
import { type Message, MessageSchema } from '../../clients/gen/backscroll/history/v1/message_pb.ts';
import type { Conversation as Address } from '../../clients/history/conversation.ts';
import type { HistoryClient } from '../../clients/history/history-client.ts';
import type { Random } from './random.ts';
import { cover, gapsIn, type Range } from './ranges.ts';

/** A message as a device holds it. */
export interface Held {
  readonly digest: string;
  /** 0 for never. */
  readonly expiresAtMs: number;
  readonly revision: bigint;
}

/** What a device holds of one conversation. */
export interface Copy {
  readonly address: Address;
  /** The last entry of the inbox. */
  entry: Conversation;
  /** The whole of what is known: messages up to here are corrected; undefined before the first page. */
  revision: bigint | undefined;
  epoch: bigint;
  floor: number;
  /** Seqs of which everything that the user sees is in `messages`. */
  known: Range[];
  readonly messages: Map<number, Held>;
}

/** What the list of changes for the user alone told, and nothing else. */
export interface OwnNews {
  readonly state: MemberState;
  readonly epoch: bigint;
  readonly readSeq: bigint;
}

/** Digest of a whole message as it is sent. */
export function wholeDigest(message: Message): string {
  return hash('sha1', toBinary(MessageSchema, message), 'base64');
}

/**
 * A device of one user, built on `ListConversations`, `Sync` and `Changes` alone: it keeps a copy of
 * what the user sees, asks for what it lacks and for what changed, and never for what it has.
 */
export class SecondReader {
  readonly user: string;
  readonly copies = new Map<string, Copy>();
  /** What the list since the user revision told, by conversation. */
  readonly news = new Map<string, OwnNews>();
  readonly whole: boolean;
  #userRevision: bigint | undefined;

  /** `whole`: it wants all of every conversation, else the newest messages and what it scrolls to. */
  constructor(user: string, whole: boolean) {
    this.user = user;
    this.whole = whole;
  }

  /**
   * Learns what is new. Throws what calls fail with, and may be called again then; throws an Error
   * where the service contradicts itself.
   */
  async refresh(client: HistoryClient, random: Random, signal: AbortSignal): Promise<void> {
    const { user } = this;
    if (this.#userRevision !== undefined) await this.#follow(client, random, signal);
    const inbox = client.inbox({ user, pageSize: random.between(5, 200) }, { signal });
    const { conversations, userRevision } = await inbox.collect();
    if (this.#userRevision === undefined) for (const entry of conversations) this.#learn(entry);
    this.#userRevision ??= userRevision;
    // A group may be deleted while it is being listed.
    const standing = conversations.filter(({ state }) => state !== MemberState.GONE);
    const listed = new Map(standing.map((entry) => [entryKey(entry), entry]));
    for (const key of this.copies.keys()) if (!listed.has(key)) this.copies.delete(key);
    for (const [key, entry] of listed) {
      const copy = this.copies.get(key) ?? this.#begin(key, entry);
      copy.entry = entry;
      await this.#catchUp(client, copy, random, signal);
    }
  }

  /** Learns what changed since the user revision; a user who was erased begins anew. */
  async #follow(client: HistoryClient, random: Random, signal: AbortSignal): Promise<void> {
    const pageSize = random.between(1, 60);
    const since = { user: this.user, sinceUserRevision: this.#userRevision, pageSize };
    try {
      const { conversations, userRevision } = await client.inbox(since, { signal }).collect();
      for (const entry of conversations) this.#learn(entry);
      this.#userRevision = userRevision;
    } catch (error) {
      if (!isResync(error)) throw error;
      this.#userRevision = undefined;
      this.news.clear();
    }
  }

  #learn(entry: Conversation): void {
    const { state, epoch, marks } = entry;
    const key = entryKey(entry);
    this.news.set(key, { state, epoch, readSeq: marks?.readSeq ?? 0n });
    if (state === MemberState.GONE) this.copies.delete(key);
  }

  #begin(key: string, entry: Conversation): Copy {
    const { case: kind, value = '' } = entry.conversation;
    const { user } = this;
    const address = kind === 'group' ? { user, group: value } : { user, peer: value };
    const { epoch, floorSeq } = entry;
    const messages = new Map<number, Held>();
    const copy = {
      address,
      entry,
      revision: undefined,
      epoch,
      floor: Number(floorSeq),
      known: [],
      messages,
    };
    this.copies.set(key, copy);
    return copy;
  }

  async #catchUp(
    client: HistoryClient,
    copy: Copy,
    random: Random,
    signal: AbortSignal,
  ): Promise<void> {
    const { entry } = copy;
    place(copy, entry.epoch, entry.floorSeq);
    try {
      if (copy.revision !== undefined && copy.revision !== entry.revision) {
        await this.#correct(client, copy, signal);
      }
      for (const gap of gapsIn(copy.known, this.#wanted(copy, random))) {
        await this.#fill(client, copy, gap, random, signal);
      }
    } catch (error) {
      // They left for good, or the group is gone: the next list tells.
      if (!(error instanceof BackscrollError) || error.reason !== 'NOT_A_MEMBER') throw error;
      this.copies.delete(entryKey(entry));
    }
  }

  #wanted({ floor, entry }: Copy, random: Random): Range[] {
    const lastSeq = Number(entry.lastSeq);
    if (this.whole) return [{ from: floor, to: lastSeq }];
    const newest = { from: Math.max(floor, lastSeq - 29), to: lastSeq };
    if (lastSeq <= floor || !random.oneIn(4)) return [newest];
    const middle = random.between(floor, lastSeq);
    return [newest, { from: Math.max(floor, middle - 20), to: Math.min(lastSeq, middle + 20) }];
  }

  async #correct(client: HistoryClient, copy: Copy, signal: AbortSignal): Promise<void> {
    const request = { ...copy.address, sinceRevision: copy.revision ?? 0n };
    try {
      const { messages, hiddenSeqs, result } = await client.changes(request, { signal }).collect();
      if (!place(copy, result.epoch, result.floorSeq)) return;
      for (const message of messages) {
        const held = copy.messages.get(Number(message.seq));
        if (held && held.revision > message.revision) throw new Error('a change came late');
        if (isKnown(copy, Number(message.seq))) hold(copy, message);
      }
      for (const seq of hiddenSeqs) copy.messages.delete(Number(seq));
      copy.revision = result.revision;
    } catch (error) {
      if (!isResync(error)) throw error;
      forget(copy);
    }
  }

  /** Asks for a gap page by page, from either end. */
  async #fill(
    client: HistoryClient,
    copy: Copy,
    gap: Range,
    random: Random,
    signal: AbortSignal,
  ): Promise<void> {
    const count = random.between(1, 4) * 250;
    const upward = random.oneIn(2);
    let { from, to } = gap;
    while (from <= to) {
      const anchor = upward ? { afterSeq: from - 1 } : { beforeSeq: to + 1 };
      const page = client.sync({ ...copy.address, ...anchor, count }, { signal });
      const { messages, result } = await page.collect();
      place(copy, result.epoch, result.floorSeq);
      take(copy, messages, result);
      if (upward ? result.reachedNewest : result.reachedOldest) return;
      if (upward) from = Number(result.toSeq) + 1;
      else to = Number(result.fromSeq) - 1;
    }
  }
}

/** Takes a page: whatever stood in its interval before is replaced. */
function take(copy: Copy, messages: readonly Message[], result: SyncResult): void {
  const [from, to] = [Number(result.fromSeq), Number(result.toSeq)];
  for (let seq = from; seq <= to; seq++) copy.messages.delete(seq);
  for (const message of messages) {
    if (message.seq < result.fromSeq || message.seq > result.toSeq) {
      throw new Error(`a page of ${from} to ${to} has ${message.seq}`);
    }
    hold(copy, message);
  }
  copy.known = cover(copy.known, { from, to });
  copy.revision ??= result.revision;
}

function hold({ messages }: Copy, message: Message): void {
  const { seq, expiresAtMs, revision } = message;
  messages.set(Number(seq), {
    digest: wholeDigest(message),
    expiresAtMs: Number(expiresAtMs),
    revision,
  });
}

function isKnown({ known }: Copy, seq: number): boolean {
  return known.some(({ from, to }) => from <= seq && seq <= to);
}

/** Follows epoch and floor; false where all that was known was of another epoch. */
function place(copy: Copy, epoch: bigint, floorSeq: bigint): boolean {
  const same = copy.epoch === epoch;
  if (!same) forget(copy);
  copy.epoch = epoch;
  copy.floor = Number(floorSeq);
  for (const seq of copy.messages.keys()) if (seq < copy.floor) copy.messages.delete(seq);
  copy.known = copy.known
    .map(({ from, to }) => ({ from: Math.max(from, copy.floor), to }))
    .filter(({ from, to }) => from <= to);
  return same;
}

function forget(copy: Copy): void {
  copy.messages.clear();
  copy.known = [];
  copy.revision = undefined;
}

/** A conversation's name in maps, from one user's point of view. */
export function entryKey({ conversation: { case: kind, value } }: Conversation): string {
  return `${kind} ${value}`;
}

function isResync(error: unknown): boolean {
  return error instanceof BackscrollError && error.reason === 'RESYNC_REQUIRED';
}
