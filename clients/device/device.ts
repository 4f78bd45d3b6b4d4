import { EventEmitter } from 'node:events';
import { resolve } from 'node:path';
import { BackupClient } from '../backup/backup-client.ts';
import { requireSqlite } from '../backup/sqlite-process.ts';
import type { Uploaded } from '../backup/upload.ts';
import type { ChannelOptions } from '../channel.ts';
import type { BackscrollError } from '../errors.ts';
import type { Message } from '../gen/backscroll/history/v1/message_pb.ts';
import { DirectoryClient } from '../history/directory-client.ts';
import { HistoryClient } from '../history/history-client.ts';
import type { MessageInit } from '../history/history-requests.ts';
import type {
  Backups,
  DeviceBackupOptions,
  DeviceDownloadOptions,
  DeviceUploadOptions,
} from './backup/backups.ts';
import type { RestoreCode } from './backup/restore-codes.ts';
import type { Schedule, ScheduleOptions } from './backup/schedule.ts';
import type { FileOptions } from './files/file-options.ts';
import { checkFileOptions } from './files/file-options.ts';
import type { FileState } from './files/file-states.ts';
import type { FileStore } from './files/file-store.ts';
import type { FileInit, UploadInit } from './files/file-upload.ts';
import { Transfers } from './files/transfers.ts';
import {
  checkAddress,
  checkConversationName,
  checkName,
  checkString,
  checkWhole,
  invalid,
} from './local/checks.ts';
import { type ConversationRow, statusOf } from './local/conversation-row.ts';
import { type Counts, countsOf, countsOfAll, NOTHING } from './local/counts.ts';
import { type LocalConversation, localConversation } from './local/local-conversation.ts';
import { LocalStore } from './local/local-store.ts';
import { type ConversationName, KIND, LocalMessage } from './local/message.ts';
import { Routine } from './routine.ts';
import { type Deletion, type Edit, Edits } from './sync/edits.ts';
import { InboxPull } from './sync/inbox-pull.ts';
import { Outbox } from './sync/outbox.ts';
import { type LocalProfile, People } from './sync/people.ts';
import { Pull } from './sync/pull.ts';
import { type MessageListener, type ReadOptions, ReadSession } from './sync/read-session.ts';
import { Receipts } from './sync/receipts.ts';
import { refreshInbox } from './sync/refresh.ts';
import { Sender } from './sync/sender.ts';
import {
  type SummaryListener,
  type SummaryOptions,
  SummarySession,
} from './sync/summary-session.ts';
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
  /** How files of messages are fetched and kept. */
  readonly files?: FileOptions | undefined;
}

/**
 * What a device tells its listeners. What a listener throws is an uncaught exception of the process, as
 * with an EventTarget, and breaks off nothing of what the device does.
 */
export interface DeviceEvents {
  /** A message that just came, by `receive`, or was edited or deleted, as that tells; its origin is `live`. */
  readonly message: [message: LocalMessage];
  /** Something new became known of a conversation by `refresh`, a summary session, or the `sync` of a session. */
  readonly conversation: [conversation: LocalConversation];
  /** The state of a message's file changed, or more of it has come. */
  readonly file: [file: FileState];
  /**
   * What the device does by itself failed with this; it tries again, after longer and longer pauses. Files
   * that found their folder unwritable, of which one alone is told, are tried when they are read again.
   */
  readonly problem: [error: unknown];
  /** A message of the outbox is stored by the service, in this place. */
  readonly sent: [id: string, seq: number, conversation: ConversationName];
  /** A message of the outbox was refused for good; it stays there until `retry` or `discard`. */
  readonly failed: [id: string, error: BackscrollError, conversation: ConversationName];
}

/**
 * A person's device: its local database, and what it does with the services. Reading needs no
 * connection. `open` it, and `close` it at the end; between `start` and `stop` it works by itself: it
 * sends what waits in the outbox, makes the backups that are scheduled, and fetches files of messages.
 */
export class Device extends EventEmitter<DeviceEvents> implements AsyncDisposable {
  /** Whose device it is. */
  readonly user: string;
  readonly #history: HistoryClient;
  readonly #store: LocalStore;
  readonly #directory: DirectoryClient;
  readonly #pull: Pull;
  readonly #inbox: InboxPull;
  readonly #people: People;
  readonly #outbox: Outbox;
  readonly #receipts: Receipts;
  readonly #edits: Edits;
  readonly #tasks: Tasks;
  readonly #backups: Backups;
  readonly #transfers: Transfers;
  readonly #sender: Sender;
  readonly #sending: Routine;
  readonly #backingUp: Routine;
  /** All that the device does by itself. */
  readonly #routines: readonly Routine[];
  #schedule: Schedule | undefined;
  /** Of the last `start`; undefined once a `stop` after it has ended. */
  #started: symbol | undefined;
  #closed: Promise<void> | undefined;

  private constructor(
    options: DeviceOptions,
    store: LocalStore,
    tasks: Tasks,
    backups: Backups,
    files: FileStore,
  ) {
    super();
    this.#tasks = tasks;
    this.#backups = backups;
    this.#transfers = new Transfers(
      files,
      store,
      options.files ?? {},
      (file) => this.#tell('file', file),
      (error) => this.#tell('problem', error),
    );
    this.user = options.user;
    this.#store = store;
    this.#history = new HistoryClient(options.history, options.channel);
    this.#directory = new DirectoryClient(options.history, options.channel);
    this.#pull = new Pull(store, this.#history);
    this.#inbox = new InboxPull(store, this.#history, this.#pull, (row) => this.#tellOf(row));
    this.#people = new People(store, this.#directory);
    this.#outbox = new Outbox(store);
    this.#receipts = new Receipts(store, () => this.#wake());
    this.#edits = new Edits(store, this.#history, this.#pull);
    this.#sender = this.#makeSender();
    this.#sending = this.#routine((signal) => {
      store.write(() => store.removeExpired(Date.now()));
      return this.#sender.round(signal);
    });
    this.#backingUp = this.#routine(async (signal) => this.#schedule?.round(signal) ?? Infinity);
    this.#routines = [this.#sending, this.#backingUp];
  }

  /**
   * Opens a device. Needs Node 24 (FAILED_PRECONDITION, reason NODE_TOO_OLD). The database may be open
   * in several processes of the same user. Fails, and leaves the file as it is, for the reasons of
   * `openDatabase`: WRONG_OWNER, NEWER_SCHEMA, NOT_A_DATABASE, NOT_A_DEVICE_DATABASE, DATABASE_DAMAGED,
   * DATABASE_BUSY, DISK_FULL; with INVALID_ARGUMENT for options that can't be meant, before anything is
   * made; or with the system's error where there is no such folder.
   */
  static async open(options: DeviceOptions): Promise<Device> {
    requireSqlite('A device');
    const { openDatabase } = await import('./local/open.ts');
    const { Backups } = await import('./backup/backups.ts');
    const { FileStore } = await import('./files/file-store.ts');
    checkString('database', options.database);
    if (options.database === '') throw invalid('MISSING_FIELD', 'database', 'is required');
    checkName('user', options.user);
    for (const service of ['history', 'backup'] as const) checkAddress(service, options[service]);
    checkFileOptions(options.files ?? {});
    const tasks = new Tasks();
    const database = openDatabase(resolve(options.database), options.user);
    const store = new LocalStore(database, options.user, () => tasks.refuseIfAlone());
    const client = new BackupClient(options.backup, options.channel);
    const { folder = `${database.path}.files`, quotaBytes } = options.files ?? {};
    const files = new FileStore(resolve(folder), quotaBytes);
    return new Device(options, store, tasks, new Backups(store, client, tasks), files);
  }

  /** Reads a conversation; see `ReadSession`. */
  readSession(options: ReadOptions, listener: MessageListener): ReadSession {
    const context = {
      store: this.#store,
      pull: this.#pull,
      receipts: this.#receipts,
      onFiles: (message: LocalMessage) => this.#transfers.seen(message),
      onNews: (row: ConversationRow) => this.#tellOf(row),
      tasks: this.#tasks,
    };
    return new ReadSession(context, options, listener);
  }

  /** Reads the inbox; see `SummarySession`. */
  readSummary(listener: SummaryListener, options: SummaryOptions = {}): SummarySession {
    return new SummarySession(this.#inbox, this.#tasks, options, listener);
  }

  /** A conversation as the local database knows it; undefined where it knows nothing of it. */
  conversation(name: ConversationName): LocalConversation | undefined {
    const row = this.#store.conversation(name);
    return row && localConversation(this.#store, row, Date.now());
  }

  /**
   * Brings all of the inbox up to date: what the user's other devices read and hid, which groups they
   * joined and left, and every conversation with its newest message; of the rest, messages are fetched
   * when they are read. Whatever has expired is removed. The `conversation` event tells what is new. What
   * had arrived by a failure is there; the next call does the rest.
   */
  refresh(): Promise<void> {
    return this.#tasks.run((signal) => refreshInbox(this.#inbox, signal));
  }

  /**
   * A person's profile, as `refreshProfiles` brought it; undefined where it did not, or there is none. Fails
   * with DATABASE_DAMAGED where what is held can't be read.
   */
  profile(user: string): LocalProfile | undefined {
    return this.#people.profile(user);
  }

  /**
   * Fetches the profiles of any number of users, some hundred at once, as far as they are not held or have
   * changed; resolves to those that are new.
   */
  async refreshProfiles(users: readonly string[]): Promise<LocalProfile[]> {
    for (const [index, user] of users.entries()) checkName(`users[${index}]`, user);
    return this.#tasks.run((signal) => this.#people.refresh(users, signal));
  }

  /**
   * Puts in messages that arrived in another way, as by a push: each as the service stored it, with its
   * seq. Tells those that are new, or newer than what is held, to the `message` event, and gives how many
   * they were: none of a group that is `gone`. Fails with INVALID_ARGUMENT where one has no seq, or for a name that nobody has, and puts in
   * none.
   */
  receive(conversation: ConversationName, messages: Message | readonly Message[]): number {
    checkConversationName(conversation);
    const all = Array.isArray(messages) ? messages : [messages as Message];
    if (all.length === 0) return 0;
    const fresh = this.#pull.receive(conversation, all);
    this.#wake();
    const row = this.#store.conversation(conversation)!;
    for (const message of fresh) {
      const status = statusOf(row, message, this.user);
      const local = new LocalMessage(conversation, message, status, 'live');
      if ((message.kinds & KIND.file) !== 0) this.#transfers.seen(local);
      this.#tell('message', local);
    }
    return fresh.length;
  }

  /**
   * Says something: the message stands in the outbox when this returns, and while the device is started
   * it is sent as soon as there is a connection: in order, and once. Gives its id; the events `sent` and
   * `failed` tell what became of it. Fails with INVALID_ARGUMENT for a name that nobody has (`peer`,
   * `group`), or an id or a message that is too large (`message.id`, `message`).
   */
  append(conversation: ConversationName, message: MessageInit): string {
    const id = this.#outbox.add(conversation, message, Date.now());
    this.#wake();
    return id;
  }

  /**
   * Sends at once what waits in the outbox, and marks, whether the device is started or not; resolves when
   * the service has it. The events `sent` and `failed` tell what became of messages. Fails where the service
   * can't be reached; what waits then goes on waiting.
   */
  async flush(): Promise<void> {
    await this.#tasks.run((signal) => this.#sender.round(signal));
  }

  /** Sends a message again that was refused, in its old place among those that wait. Gives whether there is one. */
  retry(conversation: ConversationName, id: string): boolean {
    const found = this.#outbox.retry(conversation, id);
    if (found) this.#wake();
    return found;
  }

  /** Removes a message that was refused. Gives whether there was one. */
  discard(conversation: ConversationName, id: string): boolean {
    return this.#outbox.discard(conversation, id);
  }

  /**
   * Gives a message new content, at the service and here; resolves to it as it now stands. Needs a
   * connection, and fails as the proto's `EditMessage`.
   */
  async edit(
    conversation: ConversationName,
    seq: number,
    content: Edit['content'],
    expectedRevision?: number,
  ): Promise<LocalMessage> {
    const row = await this.#tasks.run((signal) =>
      this.#edits.edit(conversation, { seq, content, expectedRevision }, signal),
    );
    const status = statusOf(this.#store.conversation(conversation)!, row, this.user);
    return new LocalMessage(conversation, row, status, 'live');
  }

  /**
   * Deletes messages, at the service and here, for the user alone or for everyone; resolves to how many
   * the service deleted by this call (0 for the user alone up to a seq). Needs a connection, and fails as
   * the proto's `DeleteMessages`; repeating it is harmless.
   */
  deleteMessages(conversation: ConversationName, deletion: Deletion): Promise<number> {
    return this.#tasks.run((signal) => this.#edits.delete(conversation, deletion, signal));
  }

  /**
   * The user has read all messages up to a seq, or up to the newest that is known of. The mark rises here
   * at once, and is sent when the device is started and there is a connection. Fails with INVALID_ARGUMENT
   * for a name that nobody has, or what is no seq.
   */
  markRead(conversation: ConversationName, seq?: number): void {
    checkConversationName(conversation);
    if (seq !== undefined) checkWhole('seq', seq, 1);
    const { id, last_seq } = this.#store.write(() => this.#store.ensureConversation(conversation));
    this.#receipts.read(id, seq ?? last_seq);
  }

  /** How many messages there are of a conversation, or of all together. */
  counts(conversation?: ConversationName): Counts {
    if (!conversation) return countsOfAll(this.#store, Date.now());
    const row = this.#store.conversation(conversation);
    return row ? countsOf(this.#store, row, Date.now()) : NOTHING;
  }

  /** A setting of the app's own; undefined where it was never set. */
  setting(name: string): string | undefined {
    return this.#store.setting(name);
  }

  /**
   * Keeps a setting in the database, and so in its backups; undefined removes it. Fails with
   * INVALID_ARGUMENT for what is no string.
   */
  setSetting(name: string, value: string | undefined): void {
    checkString('name', name);
    if (value !== undefined) checkString('value', value);
    this.#store.writeDurably(() => this.#store.setSetting(name, value));
  }

  /**
   * Copies the database to a file (null: to `backup.db` beside it), which appears, or takes the place of
   * an older one, in one step: while the app runs, and writers go on. Gives its full path, or null with
   * the reason in `lastError`, such as DATABASE_IN_USE for what belongs to the database and stands beside it.
   */
  backupDatabase(path: string | null, options: DeviceBackupOptions = {}): Promise<string | null> {
    return this.#backups.toFile(path, options);
  }

  /**
   * Puts a backup in a file in the place of the database, and goes on with it, with new sessions; gives one of `RESTORE`: 0,
   * or a negative code, with the reason in `lastError`. Works only while the device does nothing by itself,
   * and no other process has the database open; until it resolves, nothing else is to be done with the
   * device. All is checked on a copy: the file stays as it is, and the database, too, until the new one
   * stands. Then it is kept beside it (`keptPath`) for the app to remove, unless nothing was ever written
   * to it. An older backup is brought up to the current schema.
   */
  restoreDatabase(path: string): Promise<RestoreCode> {
    return this.#backups.restoreFile(path, this.#started !== undefined);
  }

  /** Whole seconds since a backup of the database was last made here, in a file or uploaded; -1 for never. */
  backupAge(): number {
    return this.#backups.ageSeconds();
  }

  /** Whole seconds since the database, or the one that its backup was made of, was first made. */
  databaseAge(): number {
    return this.#backups.databaseAgeSeconds();
  }

  /** Whole seconds since the user's newest backup at the service, by its clock; -1 for never. */
  serverBackupAge(database?: string): Promise<number> {
    return this.#backups.serverAgeSeconds(database);
  }

  /**
   * Uploads what changed since the last backup, from a copy beside the database that is removed once the
   * service has it. One that broke off, even by the end of the process, is gone on with by the next.
   * Devices of one user whose databases are not to follow one another name each its own `database`.
   */
  uploadBackup(options: DeviceUploadOptions = {}): Promise<Uploaded> {
    return this.#backups.upload(options);
  }

  /**
   * Downloads the newest backup, and restores it like `restoreDatabase`, with the same codes for what it
   * is, and for what fails on this side, as where the disk is full. What the service, or the way there,
   * fails with is thrown, such as BACKUP_NOT_FOUND, and so is what can't be meant.
   */
  restoreLatest(options: DeviceDownloadOptions = {}): Promise<RestoreCode> {
    return this.#backups.restoreUploaded(options, this.#started !== undefined);
  }

  /** Why the last `backupDatabase`, `restoreDatabase` or `restoreLatest` failed; undefined where it did not. */
  get lastError(): Error | undefined {
    return this.#backups.lastError;
  }

  /**
   * Where the last restore that succeeded keeps the database that it replaced, `….before-restore` and
   * perhaps a number; undefined where there was nothing to keep.
   */
  get keptPath(): string | undefined {
    return this.#backups.keptPath;
  }

  /**
   * Uploads backups while the device is started, one after the other, and one alone if several processes
   * do so for the same database. That of a new device has its first when it is old enough (see
   * `ScheduleOptions`). Replaces the schedule there was; gives what ends it.
   */
  scheduleBackups(options: ScheduleOptions): () => void {
    this.#tasks.refuse();
    const schedule = this.#backups.schedule(options);
    this.#schedule = schedule;
    this.#backingUp.wake();
    return () => {
      if (this.#schedule === schedule) this.#schedule = undefined;
    };
  }

  /** Where a file of a message is; the first one unless `position` tells otherwise. */
  file(message: LocalMessage, position = 0): FileState {
    return this.#transfers.state(message, position);
  }

  /**
   * Fetches a file of a message, before all others, whether the device is started or not; resolves when
   * it is present. Fails with FILE_UNREACHABLE, or where it can't be had, with the reason; with NOT_SENT where
   * its message waits in the outbox, and tells no SHA-256 of it; and with FOLDER_UNWRITABLE.
   */
  fetchFile(message: LocalMessage, position = 0): Promise<FileState> {
    return this.#tasks.run(() => this.#transfers.fetch(message, position));
  }

  /** Tells that the person is looking at these messages, and at no others: their files come first. */
  showing(messages: readonly LocalMessage[]): void {
    this.#transfers.showing(messages);
  }

  /**
   * Uploads a file by the app's transfer handler (else NO_UPLOAD); resolves to what is put into
   * `content.files` of a message. Its content is kept as if it had been fetched. Fails with NO_SUCH_FILE
   * where there is none, and with NOT_A_FILE for what is no regular file.
   */
  uploadFile(path: string, init: UploadInit = {}): Promise<FileInit> {
    return this.#tasks.run((signal) => this.#transfers.upload(path, init, signal));
  }

  /**
   * From now on the device works by itself, until `stop` or `close`; the process lives as long. Fails with
   * DATABASE_IN_USE while it is being restored, and with CANCELLED once it was closed.
   */
  start(): void {
    this.#tasks.refuse();
    this.#started = Symbol();
    for (const routine of this.#routines) routine.start();
    this.#transfers.start();
  }

  /** Ends what the device does by itself; `start` begins it again. */
  async stop(): Promise<void> {
    const started = this.#started;
    const routines = this.#routines.map((routine) => routine.stop());
    await Promise.all([...routines, this.#transfers.stop()]);
    // It may have been started again meanwhile.
    if (this.#started === started) this.#started = undefined;
  }

  /**
   * Aborts what is under way, which fails with CANCELLED; when that has ended, closes the connections
   * and the database. After it everything fails with CANCELLED but `stop` and `close`.
   */
  close(): Promise<void> {
    this.#closed ??= this.#end();
    return this.#closed;
  }

  async #end(): Promise<void> {
    await Promise.all([this.stop(), this.#tasks.end(), this.#transfers.close()]);
    this.#history.close();
    this.#directory.close();
    this.#backups.close();
    this.#store.sqlite.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #makeSender(): Sender {
    return new Sender({
      store: this.#store,
      history: this.#history,
      pull: this.#pull,
      outbox: this.#outbox,
      receipts: this.#receipts,
      onSent: (...sent) => this.#tell('sent', ...sent),
      onFailed: (...failed) => this.#tell('failed', ...failed),
    });
  }

  #routine(round: (signal: AbortSignal) => Promise<number>): Routine {
    return new Routine(round, (error) => this.#tell('problem', error));
  }

  #tellOf(row: ConversationRow): void {
    if (this.listenerCount('conversation') === 0) return;
    this.#tell('conversation', localConversation(this.#store, row, Date.now()));
  }

  #tell<E extends keyof DeviceEvents>(event: E, ...args: DeviceEvents[E]): void {
    try {
      (this as EventEmitter).emit(event, ...args);
    } catch (error) {
      process.nextTick(() => {
        throw error;
      });
    }
  }

  #wake(): void {
    this.#sending.wake();
  }
}
