import { createHash } from 'node:crypto';
import { toBinary } from '@bufbuild/protobuf';
import type { Client } from '@grpc/grpc-js';
import { openChannel } from '../../../clients/channel.ts';
import {
  type Message,
  MessageSchema,
} from '../../../clients/gen/backscroll/history/v1/message_pb.ts';
import type { Conversation } from '../../../clients/history/conversation.ts';
import { HistoryClient } from '../../../clients/history/history-client.ts';
import type { Random } from '../random.ts';
import { Activity } from './activity.ts';
import { conversationKey, HistoryLedger } from './history-ledger.ts';
import { appender, type HistoryRound, importer, reader } from './history-work.ts';
import type { Check, Storm } from './storm.ts';

interface Settled {
  readonly name: Conversation;
  readonly digest: string;
}

/** Most conversations of earlier rounds that a check reads again. */
const rereads = 6;

/**
 * A history service under load: writers that append and import, with patience and without, into the
 * same conversations, and readers of them. Each round has conversations of its own; those of earlier
 * rounds must stay as they were once read back.
 */
export class HistoryStorm implements Storm, Disposable {
  readonly name: string;
  readonly activity = new Activity();
  readonly victims: Storm['victims'];
  readonly triggers = [
    { what: 'message appended', most: 60 },
    { what: 'batch answered', most: 12 },
    { what: 'frame read', most: 12 },
  ] as const;
  readonly #client: HistoryClient;
  readonly #channel: Client;
  readonly #settled: Settled[] = [];
  #round: HistoryRound | undefined;
  #rounds = 0;

  /** `address`: of the service, which has no other clients. */
  constructor(name: string, address: string, victims: Storm['victims']) {
    this.name = name;
    this.#client = new HistoryClient(address);
    this.#channel = openChannel(address);
    this.victims = victims;
  }

  async work(random: Random, over: () => boolean, signal: AbortSignal): Promise<void> {
    const tag = `${++this.#rounds} ${random.uint32().toString(36)}`;
    const round: HistoryRound = {
      client: this.#client,
      channel: this.#channel,
      activity: this.activity,
      ledger: new HistoryLedger(),
      conversations: [
        { group: `room ${tag}` },
        { user: `ana ${tag}`, peer: `béla ${tag}` },
        { user: `solo ${tag}`, peer: `solo ${tag}` },
      ],
      over,
      signal,
    };
    this.#round = round;
    await Promise.all([
      appender(round, 'patient 1', random.fork(), true),
      appender(round, 'patient 2', random.fork(), true),
      appender(round, 'hasty', random.fork(), false),
      importer(round, 'import 1', random.fork(), true),
      importer(round, 'import 2', random.fork(), true),
      importer(round, 'hasty import', random.fork(), false),
      reader(round, random.fork()),
    ]);
  }

  async check(signal: AbortSignal): Promise<Check> {
    const { ledger } = this.#round ?? { ledger: new HistoryLedger() };
    const faults: string[] = [];
    const earlier = this.#settled.slice(-rereads);
    faults.push(...(await this.#reread(earlier, signal)));
    let messages = 0;
    for (const name of ledger.names()) {
      const stored = await this.#readAll(name, signal);
      faults.push(...ledger.faults(name, stored));
      this.#settled.push({ name, digest: digest(stored) });
      messages += stored.length;
    }
    const checked =
      `${messages} messages in ${ledger.names().length} conversations, ` +
      `${ledger.acknowledgedCount()} of them acknowledged; ${earlier.length} earlier conversations`;
    return { faults, checked };
  }

  async recheck(signal: AbortSignal): Promise<Check> {
    const faults = await this.#reread(this.#settled, signal);
    return { faults, checked: `${this.#settled.length} conversations of all rounds` };
  }

  [Symbol.dispose](): void {
    this.#client.close();
    this.#channel.close();
  }

  async #reread(settled: readonly Settled[], signal: AbortSignal): Promise<string[]> {
    const faults: string[] = [];
    for (const { name, digest: before } of settled) {
      const now = digest(await this.#readAll(name, signal));
      if (now !== before) faults.push(`${conversationKey(name)}: changed since it was checked`);
    }
    return faults;
  }

  async #readAll(name: Conversation, signal: AbortSignal): Promise<Message[]> {
    const page = this.#client.sync(
      { ...name, afterSeq: 0, count: 1_000_000, order: 'oldest-first' },
      { signal },
    );
    return (await page.collect()).messages;
  }
}

function digest(messages: readonly Message[]): string {
  const hash = createHash('sha256');
  for (const message of messages) hash.update(toBinary(MessageSchema, message));
  return hash.digest('hex');
}
