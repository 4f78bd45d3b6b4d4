import { hash } from 'node:crypto';
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import {
  CallOutcome,
  type Content,
  ContentSchema,
} from '../../../clients/gen/backscroll/history/v1/message_pb.ts';

/** What a message holds, of which filters and counts ask. */
export interface Traits {
  readonly text: boolean;
  readonly file: boolean;
  readonly call: boolean;
  readonly missed: boolean;
  readonly thread: string;
}

/** A message as it was acknowledged and since changed. */
export interface ModelMessage {
  readonly seq: number;
  readonly id: string;
  sender: string;
  readonly sentAtMs: bigint;
  /** 0 for never. */
  readonly expiresAtMs: number;
  readonly imported: boolean;
  /** Digest of the content; undefined once it was deleted for everyone. */
  said: string | undefined;
  traits: Traits;
  edited: boolean;
}

/** What one user is in a conversation. */
export interface ModelMember {
  /** 0 former, 1 member, 2 moderator, 3 owner; a pair's two are members. */
  role: number;
  /** Seqs they may see, both ends inclusive; the last may end at Infinity. */
  intervals: { from: number; to: number }[];
  epoch: number;
  hiddenUpTo: number;
  readonly hidden: Set<number>;
  read: number;
  delivered: number;
  /** The group's title when they left; of no meaning for members. */
  leftTitle: string;
  /** The highest read mark that a device of theirs set. */
  marked: number;
}

/** How a conversation is addressed. */
export type ModelName =
  | { readonly group: string; readonly pair?: never }
  | { readonly pair: readonly [string, string]; readonly group?: never };

/** Everything that was acknowledged of one conversation. */
export class ModelConversation {
  readonly name: ModelName;
  readonly messages: ModelMessage[] = [];
  readonly members = new Map<string, ModelMember>();
  /** Lowest seq that the service was seen to have left. */
  floor = 1;
  /** Highest revision that was told. */
  revision = 0n;
  created = false;
  deleted = false;
  title = '';
  /** How many of the last messages newcomers see. */
  visible = Infinity;
  /** In seconds; 0 for none. */
  retentionS = 0;
  /** Retentions that were in force since the floor was last looked at. */
  readonly retentions = new Set<number>();
  /** A pair of which somebody was erased since the last message. */
  incomplete = false;
  /** Users who sent something, members or not. */
  readonly senders = new Set<string>();

  constructor(name: ModelName) {
    this.name = name;
  }

  get lastSeq(): number {
    return this.messages.length;
  }

  isMember(user: string): boolean {
    return (this.members.get(user)?.role ?? 0) > 0;
  }

  /** Somebody joins, and sees from `from` on. */
  join(user: string, role: number, from: number): void {
    const before = this.members.get(user);
    if (before && before.role > 0) return;
    const member = before ?? {
      ...{ role, intervals: [], epoch: 0, hiddenUpTo: 0, hidden: new Set<number>() },
      ...{ read: 0, delivered: 0, marked: 0, leftTitle: '' },
    };
    member.role = role;
    member.epoch++;
    member.intervals.push({ from, to: Infinity });
    this.members.set(user, member);
  }

  /** Somebody leaves after `lastSeq`. */
  leave(user: string, lastSeq = this.lastSeq): void {
    const member = this.members.get(user);
    if (!member || member.role === 0) return;
    member.role = 0;
    member.leftTitle = this.title;
    member.epoch++;
    member.intervals = member.intervals
      .map(({ from, to }) => ({ from, to: Math.min(to, lastSeq) }))
      .filter(({ from, to }) => from <= to);
  }

  /** Whether retention may remove what was just said. */
  get isShort(): boolean {
    return this.retentionS > 0 || this.retentions.size > 0;
  }

  /** Messages are kept for another time from now on; 0 for ever. */
  retain(retentionS: number): void {
    if (this.retentionS > 0) this.retentions.add(this.retentionS);
    this.retentionS = retentionS;
  }

  /** Messages stand at the end, in their order; `joins`: senders become members where they are none. */
  add(messages: readonly ModelMessage[], imported: boolean): void {
    for (const user of this.#newcomers(messages)) {
      this.join(user, 1, this.name.group === undefined ? (messages[0]?.seq ?? 1) : 1);
    }
    this.incomplete = false;
    for (const message of messages) {
      if (this.messages[message.seq - 1]) throw new Error(`seq ${message.seq} was given twice`);
      this.messages[message.seq - 1] = message;
      if (message.sender !== '') this.senders.add(message.sender);
      const member = this.members.get(message.sender);
      if (imported || !member || member.role === 0) continue;
      member.read = Math.max(member.read, message.seq);
      member.delivered = Math.max(member.delivered, message.seq);
    }
  }

  /**
   * What stands below a seq that nobody was told of: messages whose answer was lost, and which retention
   * had removed, with their ids, before they were sent once more.
   */
  removedUnheard(belowSeq: number): void {
    for (let seq = this.lastSeq + 1; seq < belowSeq; seq++) {
      this.messages[seq - 1] = {
        ...{ seq, id: `removed ${seq}`, sender: '', sentAtMs: 0n, expiresAtMs: 1, imported: true },
        ...{ said: undefined, traits: NOTHING, edited: false },
      };
    }
  }

  #newcomers(messages: readonly ModelMessage[]): string[] {
    const { group, pair } = this.name;
    if (group !== undefined) {
      if (this.created) return [];
      return [...new Set(messages.map(({ sender }) => sender))].filter((user) => user !== '');
    }
    if (this.lastSeq > 0 && !this.incomplete) return [];
    return pair.filter((user) => !this.members.has(user));
  }

  /** Deletes for everyone. */
  bury(message: ModelMessage): void {
    message.said = undefined;
    message.traits = NOTHING;
  }

  /** Removes a person. */
  erase(user: string): void {
    for (const message of this.messages) {
      if (message.sender !== user) continue;
      this.bury(message);
      message.sender = '';
    }
    this.senders.delete(user);
    const had = this.members.delete(user);
    if (this.name.pair?.includes(user) && had) this.incomplete = true;
  }

  /** The first seq that those see who join now. */
  get newcomersFrom(): number {
    return Math.max(1, this.lastSeq - this.visible + 1);
  }

  /** Whether retention or expiry may have removed a message by now. */
  mayBeGone(message: ModelMessage, nowMs: number): boolean {
    return [this.retentionS, ...this.retentions].some((retentionS) =>
      isDue(message, retentionS, nowMs),
    );
  }

  /** The floor that a sweep at a moment leaves at least. */
  floorAt(nowMs: number): number {
    const rest = this.messages.slice(this.floor - 1);
    const first = rest.findIndex((message) => !isDue(message, this.retentionS, nowMs));
    return this.floor + (first < 0 ? rest.length : first);
  }
}

/** Whether a sweep removes a message, where it is the oldest; a retention of 0 keeps all. */
function isDue(
  { expiresAtMs, sentAtMs }: ModelMessage,
  retentionS: number,
  nowMs: number,
): boolean {
  if (expiresAtMs > 0 && expiresAtMs <= nowMs) return true;
  return retentionS > 0 && Number(sentAtMs) < nowMs - retentionS * 1_000;
}

const NOTHING: Traits = { text: false, file: false, call: false, missed: false, thread: '' };

/** What a content holds. */
export function traitsOf({ text, files, call, thread }: Content): Traits {
  return {
    text: text !== '',
    file: files.length > 0,
    call: call !== undefined,
    missed: call?.outcome === CallOutcome.MISSED,
    thread,
  };
}

/** Digest of a content as it is sent. */
export function digestOf(content: MessageInitShape<typeof ContentSchema>): string {
  return hash('sha1', toBinary(ContentSchema, create(ContentSchema, content)), 'base64');
}

/** A name for one conversation in maps and words. */
export function keyOf(name: ModelName): string {
  return name.group === undefined
    ? `pair ${JSON.stringify(name.pair)}`
    : `group ${JSON.stringify(name.group)}`;
}
