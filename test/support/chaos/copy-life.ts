import { BackscrollError } from '../../../clients/errors.ts';
import type { Conversation as Address } from '../../../clients/history/conversation.ts';
import { DirectoryClient } from '../../../clients/history/directory-client.ts';
import { HistoryClient } from '../../../clients/history/history-client.ts';
import { Random } from '../random.ts';
import { SecondReader } from '../second-reader.ts';
import { Activity } from './activity.ts';
import { keyOf, ModelConversation, type ModelName } from './copy-model.ts';
import { Gate } from './gate.ts';
import { pause } from './patience.ts';

/** The clients of one replica. */
export interface Replica {
  readonly history: HistoryClient;
  readonly directory: DirectoryClient;
}

/** How a call ended: with an answer, or with the reason of a refusal. */
export type Outcome<T> =
  | { readonly value: T; readonly reason?: undefined }
  | { readonly value?: undefined; readonly reason: string };

const unavailable = 14;
const busy = 'TOO_MANY_CALLS';

/** People who talk, whoever else is in imported conversations. */
const peopleCount = 24;

/**
 * All that is known of a service and its users: the model of what was acknowledged, the devices that
 * copy it, and who may change what at the same time.
 */
export class Life implements Disposable {
  readonly activity = new Activity();
  readonly replicas: readonly Replica[];
  readonly people = Array.from(
    { length: peopleCount },
    (_, n) => `person ${n} ${'é'.repeat(n % 4)}`,
  );
  readonly conversations = new Map<string, ModelConversation>();
  /** Conversations that began here; the others were imported. */
  readonly own: ModelConversation[] = [];
  readonly imported: ModelConversation[] = [];
  /** Touched since the last check. */
  readonly dirty = new Set<ModelConversation>();
  readonly touchedUsers = new Set<string>();
  readonly readers = new Map<string, SecondReader[]>();
  /** Messages that some operation under way is about. */
  readonly busy = new Map<ModelConversation, Set<number>>();
  /** Devices that look for news now, and people whose profile changes now. */
  readonly refreshing = new Set<SecondReader>();
  readonly profiling = new Set<string>();
  /** Whoever acts is inside; an erasure is alone. */
  readonly door = new Gate();
  readonly #gates = new WeakMap<ModelConversation, Gate>();
  readonly random = new Random(1);
  #made = 0;

  /** `addresses`: of replicas over one database. */
  constructor(addresses: readonly string[]) {
    this.replicas = addresses.map((address) => ({
      history: new HistoryClient(address),
      directory: new DirectoryClient(address),
    }));
  }

  /** A name or id that nothing had before. */
  fresh(what: string): string {
    this.#made++;
    return `${what} ${this.#made}`;
  }

  /** The model of a conversation, which begins empty. */
  open(name: ModelName, list: ModelConversation[]): ModelConversation {
    const found = this.conversations.get(keyOf(name));
    if (found) return found;
    const conversation = new ModelConversation(name);
    this.conversations.set(keyOf(name), conversation);
    list.push(conversation);
    return conversation;
  }

  /** A conversation to do something in. */
  pick(random: Random): ModelConversation {
    const list = this.imported.length > 0 && random.oneIn(4) ? this.imported : this.own;
    return random.pick(list);
  }

  /** A group, mostly one that stands. */
  pickGroup(random: Random): ModelConversation {
    for (;;) {
      const conversation = this.pick(random);
      if (conversation.name.group === undefined) continue;
      if (!conversation.deleted || random.oneIn(20)) return conversation;
    }
  }

  /** Enters a conversation, alone or beside others; it then counts as touched. */
  async enter(conversation: ModelConversation, alone: boolean): Promise<Disposable> {
    const gate = this.#gates.get(conversation) ?? new Gate();
    this.#gates.set(conversation, gate);
    const inside = await gate.enter(alone);
    this.dirty.add(conversation);
    return inside;
  }

  /** Adds a device. */
  addReader(user: string, whole: boolean): void {
    const readers = this.readers.get(user) ?? [];
    readers.push(new SecondReader(user, whole));
    this.readers.set(user, readers);
  }

  /**
   * Makes a call until it is answered or refused, with one replica after the other: a kill excuses
   * nothing else than UNAVAILABLE.
   */
  async call<T>(
    random: Random,
    signal: AbortSignal,
    make: (replica: Replica) => Promise<T>,
  ): Promise<Outcome<T>> {
    for (;;) {
      signal.throwIfAborted();
      try {
        return { value: await make(random.pick(this.replicas)) };
      } catch (error) {
        if (!(error instanceof BackscrollError)) throw error;
        const { code, reason } = error;
        if (reason === 'INTERNAL' || reason === 'DEADLINE_EXCEEDED') throw error;
        if (code !== unavailable && reason !== busy) return { reason };
      }
      await pause(signal);
    }
  }

  [Symbol.dispose](): void {
    for (const { history, directory } of this.replicas) {
      history.close();
      directory.close();
    }
  }
}

/** A conversation's address for one user; empty for a service in a group. */
export function addressOf({ name }: ModelConversation, user: string): Address {
  if (name.group !== undefined) return { group: name.group, ...(user !== '' && { user }) };
  const [a, b] = name.pair;
  return { user, peer: a === user ? b : a };
}

/** Fails where a call ended otherwise than the model says. */
export function agree(
  conversation: ModelConversation,
  what: string,
  outcome: Outcome<unknown>,
  ...reasons: readonly (string | undefined)[]
): void {
  if (reasons.includes(outcome.reason)) return;
  const got = outcome.reason ?? 'an answer';
  const due = reasons.map((reason) => reason ?? 'an answer').join(' or ');
  throw new Error(`${keyOf(conversation.name)}: ${what} ended in ${got}, not in ${due}`);
}

/** Who is a member now. */
export function membersOf(conversation: ModelConversation): string[] {
  return [...conversation.members].filter(([, { role }]) => role > 0).map(([user]) => user);
}
