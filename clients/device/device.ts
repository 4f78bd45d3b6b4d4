import { EventEmitter } from 'node:events';
import type { ChannelOptions } from '../channel.ts';
import type { Message } from '../gen/backscroll/history/v1/message_pb.ts';
import { HistoryClient } from '../history-client.ts';
import type { MessageInit } from '../history-requests.ts';
import { requireSqlite } from '../sqlite-process.ts';
import { LocalStore } from './local-store.ts';
import { type ConversationName, LocalMessage } from './message.ts';
import { Outbox } from './outbox.ts';
import { Pull } from './pull.ts';
import { type MessageListener, type ReadOptions, ReadSession, statusOf } from './read-session.ts';
import { Receipts } from './receipts.ts';
import { Routine } from './routine.ts';
import { Sender } from './sender.ts';
import { Tasks } from './tasks.ts';

/** What a device works with. */
export interface DeviceOptions {
  /** Path of the local database; made where there is none. Its folder must exist. */
  readonly database: string;
  /** Whose device it is. */
  readonly user: string;
  /** Address of the history service, such as `localhost:50051`. */
  readonly history: string;
  /** Address of the backup service, such as `localhost:50052`. */
  readonly backup: string;
  /** How to connect to both. */
  readonly channel?: ChannelOptions | undefined;
}

/** What a device tells its listeners. */
export interface DeviceEvents {
  /** A message that just came, by `receive`; its origin is `live`. */
  readonly message: [message: LocalMessage];
  /** What the device does by itself failed with this; it tries again, after longer and longer pauses. */
  readonly problem: [error: unknown];
}

/**
 * A person's device: its local database, and what it does with the services. Reading needs no
 * connection. `open` it, and `close` it at the end; between `start` and `stop` it works by itself: it
 * sends what waits in the outbox.
 */
export class Device extends EventEmitter<DeviceEvents> implements AsyncDisposable {
  /** Whose device it is. */
  readonly user: string;
  readonly #history: HistoryClient;
  readonly #store: LocalStore;
  readonly #pull: Pull;
  readonly #outbox: Outbox;
  readonly #receipts: Receipts;
  readonly #tasks = new Tasks();
  readonly #sending: Routine;
  /** All that the device does by itself. */
  readonly #routines: readonly Routine[];
  #closed: Promise<void> | undefined;

  private constructor(options: DeviceOptions, store: LocalStore) {
    super();
    this.user = options.user;
    this.#store = store;
    this.#history = new HistoryClient(options.history, options.channel);
    this.#pull = new Pull(store, this.#history);
    this.#outbox = new Outbox(store);
    this.#receipts = new Receipts(store, () => this.#wake());
    const sender = new Sender(this.user, this.#history, this.#outbox);
    this.#sending = this.#routine((signal) => sender.round(signal));
    this.#routines = [this.#sending];
  }

  /**
   * Opens a device. Needs Node 24 (FAILED_PRECONDITION, reason NODE_TOO_OLD). The database may be open
   * in several processes of the same user. Fails, and leaves the file as it is, for the reasons of
   * `openDatabase`: WRONG_OWNER, NEWER_SCHEMA, NOT_A_DATABASE, NOT_A_DEVICE_DATABASE, DATABASE_DAMAGED.
   */
  static async open(options: DeviceOptions): Promise<Device> {
    requireSqlite('A device');
    const { openDatabase } = await import('./open.ts');
    const store = new LocalStore(openDatabase(options.database, options.user), options.user);
    return new Device(options, store);
  }

  /** Reads a conversation; see `ReadSession`. */
  readSession(options: ReadOptions, listener: MessageListener): ReadSession {
    const context = {
      store: this.#store,
      pull: this.#pull,
      outbox: this.#outbox,
      receipts: this.#receipts,
      onRead: () => {},
      tasks: this.#tasks,
    };
    return new ReadSession(context, options, listener);
  }

  /**
   * Puts in messages that arrived in another way, as by a push: each as the service stored it, with its
   * seq. Tells those that are new to the `message` event, and gives how many they were.
   */
  receive(conversation: ConversationName, messages: Message | readonly Message[]): number {
    const all = Array.isArray(messages) ? messages : [messages as Message];
    if (all.length === 0) return 0;
    const fresh = this.#pull.receive(conversation, all);
    const row = this.#store.conversation(conversation)!;
    for (const message of fresh) {
      const status = statusOf(row, message, this.user);
      this.emit('message', new LocalMessage(conversation, message, status, 'live'));
    }
    return fresh.length;
  }

  /**
   * Says something: the message stands in the outbox when this returns, and is sent when there is a
   * connection, in order and once. Gives its id.
   */
  append(conversation: ConversationName, message: MessageInit): string {
    const id = this.#outbox.add(conversation, message, Date.now());
    this.#wake();
    return id;
  }

  /** From now on the device works by itself, until `stop` or `close`; the process lives as long. */
  start(): void {
    if (this.#closed) return;
    for (const routine of this.#routines) routine.start();
  }

  /** Ends what the device does by itself; `start` begins it again. */
  async stop(): Promise<void> {
    await Promise.all(this.#routines.map((routine) => routine.stop()));
  }

  /**
   * Aborts what is under way, which fails with CANCELLED; when that has ended, closes the connections
   * and the database. Nothing can be done with the device after it but to close it again.
   */
  close(): Promise<void> {
    this.#closed ??= this.#end();
    return this.#closed;
  }

  async #end(): Promise<void> {
    await Promise.all([this.stop(), this.#tasks.end()]);
    this.#history.close();
    this.#store.sqlite.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #routine(round: (signal: AbortSignal) => Promise<number>): Routine {
    return new Routine(round, (error) => this.emit('problem', error));
  }

  #wake(): void {
    this.#sending.wake();
  }
}
