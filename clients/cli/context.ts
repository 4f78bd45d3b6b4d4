import { type Command, InvalidArgumentError, Option } from 'commander';
import { BackupClient } from '../backup/backup-client.ts';
import type { CallOptions } from '../calls.ts';
import type { ChannelOptions } from '../channel.ts';
import type { Conversation } from '../history/conversation.ts';
import { DirectoryClient } from '../history/directory-client.ts';
import { HistoryClient } from '../history/history-client.ts';
import { MESSAGE_KINDS, type MessageKind } from '../history/history-requests.ts';
import { type Callee, usage } from './exit.ts';
import type { Output } from './output.ts';

/** The options that every command has. */
export interface GlobalOptions {
  readonly history: string;
  readonly backup: string;
  readonly json?: boolean;
  readonly timeout?: number;
}

/** What the commands work with: output, an interrupt, and clients of the services. */
export class Context {
  readonly output: Output;
  /** Fires when the user interrupts the command. */
  readonly signal: AbortSignal;
  /** The service that was called last. */
  callee: Callee | undefined;
  /** How to connect. */
  channel: ChannelOptions | undefined;
  readonly #clients: { close(): void }[] = [];

  constructor(output: Output, signal: AbortSignal) {
    this.output = output;
    this.signal = signal;
  }

  /** A client of the history service, closed with the command. */
  history(options: GlobalOptions): HistoryClient {
    return this.#open(HistoryClient, { name: 'history', address: options.history });
  }

  /** A client of the history service's directory, closed with the command. */
  directory(options: GlobalOptions): DirectoryClient {
    return this.#open(DirectoryClient, { name: 'history', address: options.history });
  }

  /** A client of the backup service, closed with the command. */
  backup(options: GlobalOptions): BackupClient {
    return this.#open(BackupClient, { name: 'backup', address: options.backup });
  }

  /** What every call is given: it ends with the command, and at `--timeout`. */
  call(options: GlobalOptions): CallOptions {
    const timeoutMs = options.timeout === undefined ? undefined : options.timeout * 1000;
    return { signal: this.signal, timeoutMs };
  }

  /** Closes the clients. */
  close(): void {
    for (const client of this.#clients) client.close();
  }

  #open<T extends { close(): void }>(
    Client: new (address: string, channel?: ChannelOptions) => T,
    callee: Callee,
  ): T {
    this.callee = callee;
    try {
      const client = new Client(callee.address, this.channel);
      this.#clients.push(client);
      return client;
    } catch (error) {
      // The address has no such form; the option may also have come from the environment.
      throw usage(`--${callee.name}: ${(error as Error).message}`);
    }
  }
}

/** The options by which commands name a conversation. */
export interface ConversationOptions {
  readonly user?: string;
  readonly peer?: string;
  readonly group?: string;
}

/** Adds the options that name a conversation. */
export function withConversation(command: Command): Command {
  return command
    .option('-u, --user <name>', 'for whom the call is made; needed with --peer')
    .option('-p, --peer <name>', 'the other user of the conversation')
    .option('-g, --group <name>', 'the group');
}

/** The options by which commands pick messages. */
export interface FilterOptions {
  readonly kind?: MessageKind[];
  readonly thread?: string;
}

/** Adds the options that pick messages. */
export function withFilter(command: Command): Command {
  return command
    .addOption(
      new Option('-k, --kind <kinds...>', 'only messages that hold one of these').choices(
        MESSAGE_KINDS,
      ),
    )
    .option('-t, --thread <key>', 'only messages of this thread');
}

/** The conversation that the options name. */
export function conversationOf({ user, peer, group }: ConversationOptions): Conversation {
  if (group !== undefined && peer === undefined) return { group, user };
  if (group === undefined && peer !== undefined && user !== undefined) return { user, peer };
  throw usage('name one conversation: --user NAME --peer NAME, or --group NAME');
}

/** Reads an option that is a whole number, 0 or more. */
export function wholeNumber(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(value)) return value;
  throw new InvalidArgumentError('It is not a whole number.');
}

/** Reads an option that is a whole number, 1 or more. */
export function positive(text: string): number {
  const value = wholeNumber(text);
  if (value > 0) return value;
  throw new InvalidArgumentError('It is not a number from 1 up.');
}

const UNITS: Readonly<Record<string, number>> = {
  ...{ s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 },
};

/** A length of time that an option gives, in milliseconds. */
export function duration(text: string): number {
  const [, count, unit = ''] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  if (count !== undefined) return Number(count) * UNITS[unit]!;
  throw new InvalidArgumentError('It is no length of time, such as 30s, 10m, 6h or 1d.');
}

/** A name that an option gives: none is empty, as of a variable that was never set. */
export function nonEmpty(text: string): string {
  if (text !== '') return text;
  throw new InvalidArgumentError('It is empty.');
}

/** A point in time that an option gives, in milliseconds since 1970. */
export function time(text: string): number {
  const ms = /^\d{4}-/.test(text) ? Date.parse(text) : Number.NaN;
  if (ms >= 0) return ms;
  throw new InvalidArgumentError('It is no time since 1970, such as 2026-01-31T12:00:00Z.');
}
