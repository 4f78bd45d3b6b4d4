import { create } from '@bufbuild/protobuf';
import type { ConversationName } from '../../../clients/device/index.ts';
import {
  type Message,
  MessageSchema,
} from '../../../clients/gen/backscroll/history/v1/message_pb.ts';
import { DirectoryClient } from '../../../clients/history/directory-client.ts';
import { HistoryClient } from '../../../clients/history/history-client.ts';
import type { Random } from '../random.ts';
import { Activity } from './activity.ts';
import { Gate } from './gate.ts';
import { randomContent } from './messages.ts';
import { attempt } from './patience.ts';

/** Whose devices are watched, and whom they talk to. */
export const person = 'ana';
export const friends = ['ben', 'cem', 'dóra', '陽子'] as const;

/** Refusals that a random deed may meet: out of time, not found, not allowed, not as it stands. */
export const anyRefusal = [3, 5, 7, 9] as const;

/** The refusal that a reader may meet: they are, or were, no member. */
export const noMember = [7] as const;

/** A message that the service has just stored, on its way to the person's devices. */
export interface Push {
  readonly where: Place;
  readonly message: Message;
}

/** One conversation of the person's, and what those who talk in it know of it. */
export interface Place {
  readonly name: ConversationName;
  /** What tells it from the others. */
  readonly key: string;
  /** Who is in it now, as far as is known: an answer that was lost leaves it open. */
  readonly members: Set<string>;
  /** Whether the person is; undefined where that is not known. */
  isIn: boolean | undefined;
  /** It was deleted, for everyone. */
  gone: boolean;
  /** Retention may have removed something. */
  retained: boolean;
  /** Who sent which message, as far as answers told. */
  readonly senders: Map<number, string>;
  /** Whoever changes who sees what is alone. */
  readonly gate: Gate;
}

/** The conversations of one person, with the people and services that fill them. */
export class DeviceTown implements Disposable {
  readonly activity = new Activity();
  readonly history: HistoryClient;
  readonly directory: DirectoryClient;
  readonly places: readonly Place[];
  /** Told of messages that were stored while the person saw them. */
  onPush: (push: Push) => void = () => {};
  readonly #saidIn = new Map<string, Place>();
  #made = 0;

  /** `address`: of a history service. */
  constructor(address: string) {
    this.history = new HistoryClient(address);
    this.directory = new DirectoryClient(address);
    const names: ConversationName[] = [
      ...[friends[0], friends[1], person].map((peer) => ({ peer })),
      ...['hall', 'yard', 'cellar', 'attic'].map((group) => ({ group })),
    ];
    this.places = names.map((name) => ({
      name,
      key: JSON.stringify(name),
      members: new Set(name.group === undefined ? [person, name.peer] : []),
      isIn: name.group === undefined ? true : undefined,
      gone: false,
      retained: false,
      senders: new Map(),
      gate: new Gate(),
    }));
  }

  /** A name or id that nothing had before. */
  fresh(what: string): string {
    this.#made++;
    return `${what} ${this.#made}`;
  }

  /** Makes one call of somebody's, and tells whether it was answered; it may be refused for some reasons. */
  call(
    signal: AbortSignal,
    who: string,
    make: () => Promise<unknown>,
    refusals: readonly number[] = anyRefusal,
  ): Promise<boolean> {
    const patience = { activity: this.activity, signal };
    return attempt(patience, 'operation', who, async () => void (await make()), refusals);
  }

  /** Stores messages of a random sender at the end of a place, and pushes them to who is there to see. */
  async post(place: Place, random: Random, count: number, signal: AbortSignal): Promise<void> {
    using _ = await place.gate.enter(false);
    const seen = place.isIn === true;
    const sender = place.members.size > 0 ? random.pick([...place.members]) : random.pick(friends);
    const messages = Array.from({ length: count }, () => this.#message(random, sender));
    await this.call(signal, sender, async () => {
      const request = { ...addressOf(place, sender), messages };
      const answer = await this.history.append(request, { signal });
      for (const [index, { seq, sentAtMs }] of answer.messages.entries()) {
        place.senders.set(Number(seq), sender);
        const message = create(MessageSchema, { ...messages[index]!, seq, sentAtMs });
        if (seen) this.onPush({ where: place, message });
      }
    });
  }

  /** A device has something to send. */
  said(id: string, place: Place): void {
    this.#saidIn.set(id, place);
  }

  /** A device was told that the service has it: whoever changes messages finds it from now on. */
  sent(id: string, seq: number): void {
    this.#saidIn.get(id)?.senders.set(seq, person);
    this.#saidIn.delete(id);
  }

  #message(random: Random, sender: string): Message {
    const id = this.fresh('said');
    const nowMs = Date.now();
    const lifetimeMs = random.oneIn(20) ? random.between(500, 5_000) : 0;
    return create(MessageSchema, {
      ...{ id, sender, sentAtMs: BigInt(nowMs - random.between(0, 10_000)) },
      expiresAtMs: lifetimeMs === 0 ? 0n : BigInt(nowMs + lifetimeMs),
      content: randomContent(random, id),
    });
  }

  [Symbol.dispose](): void {
    this.history.close();
    this.directory.close();
  }
}

/** A place as one of those in it addresses it. */
export function addressOf({ name }: Place, user: string) {
  if (name.group !== undefined) return { group: name.group, user };
  return { user, peer: user === person ? name.peer : person };
}
