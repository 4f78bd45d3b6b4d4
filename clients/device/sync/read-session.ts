import { willPass } from '../../attempts.ts';
import { BackscrollError } from '../../errors.ts';
import type { Filter, MessageKind } from '../../history/history-requests.ts';
import { NEWS } from '../local/counts.ts';
import { type Interval, stretchAbove, stretchBelow, union } from '../local/intervals.ts';
import {
  ALL,
  type ConversationRow,
  isStale,
  type LocalStore,
  type Picked,
  pickOf,
} from '../local/local-store.ts';
import {
  type ConversationName,
  KIND,
  LocalMessage,
  type MessageRow,
  type MessageStatus,
} from '../local/message.ts';
import type { Tasks } from '../tasks.ts';
import { type Outbox, waitingMessage } from './outbox.ts';
import type { Pull } from './pull.ts';
import type { Receipts } from './receipts.ts';

/** Which messages a session reads, and how. */
export type ReadOptions = ConversationName & {
  /** `newest-first` where it is absent. */
  readonly order?: 'newest-first' | 'oldest-first' | undefined;
  /** Messages that hold one of these; all where it is absent or empty. */
  readonly kinds?: readonly MessageKind[] | undefined;
  /** Messages of this thread alone. */
  readonly thread?: string | undefined;
  /** What was unread when the session was made, alone. */
  readonly unread?: boolean | undefined;
  /** What is read counts as read by the user: others are told so. */
  readonly receipts?: boolean | undefined;
  /**
   * Read across what the local database lacks, as where there is no connection; else reading stops
   * there, so that `sync` can fetch it.
   */
  readonly acrossHoles?: boolean | undefined;
};

/** Told each message that is read. */
export type MessageListener = (message: LocalMessage) => void;

/** What sessions of all conversations work with. */
export interface ReadContext {
  readonly store: LocalStore;
  readonly pull: Pull;
  readonly outbox: Outbox;
  readonly receipts: Receipts;
  /** Told each message with files that is read, before the listener. */
  readonly onFiles: (message: LocalMessage) => void;
  readonly tasks: Tasks;
}

/**
 * Reads one conversation, further with each call, in one direction. `read` gives what the local
 * database has, at once; where that ends, `sync` fetches what it lacks, and `more` does both:
 *
 *     const session = device.readSession({ peer: 'bob' }, show);
 *     await session.more(50);   // and again whenever the person scrolls up
 *
 * Messages that come while it is open are not part of it: the device's `message` event tells them.
 * Not to be used by two callers at once.
 */
export class ReadSession {
  readonly conversation: ConversationName;
  readonly #context: ReadContext;
  readonly #options: ReadOptions;
  readonly #listener: MessageListener;
  readonly #falling: boolean;
  readonly #pick: Picked;
  readonly #filter: Filter | undefined;
  /** The next seq that comes into question; undefined before anything is known of the conversation. */
  #next: number | undefined;
  /** The lowest seq of a session of unread messages. */
  #lowest: number | undefined;
  /** The next message of the outbox; undefined before it was looked at. */
  #outbox: number | undefined;
  #corrected = false;

  /** For the device's own use. */
  constructor(context: ReadContext, options: ReadOptions, listener: MessageListener) {
    const { order, kinds = [], thread = '' } = options;
    this.conversation =
      options.group === undefined ? { peer: options.peer } : { group: options.group };
    this.#context = context;
    this.#options = options;
    this.#listener = listener;
    this.#falling = order !== 'oldest-first';
    this.#pick = pickOf(
      kinds.reduce((bits, kind) => bits | KIND[kind], 0),
      thread,
    );
    this.#filter = this.#pick === ALL ? undefined : { kinds, thread };
    const row = this.#row();
    if (row) this.#fixLowest(row);
  }

  /**
   * Hands up to `count` messages that the local database has to the listener, and goes on there the
   * next time. Gives how many; fewer than `count` means that it has no more from here on: `sync` tells
   * whether the service has. Messages of the outbox stand above the newest.
   */
  read(count: number): number {
    const { store, onFiles, receipts } = this.#context;
    let left = count;
    if (this.#falling) left -= this.#readOutbox(left);
    const row = this.#row();
    if (!row) return count - left;
    const across = this.#options.acrossHoles === true;
    const scan = this.#scan(row, left, across, store.messages.bind(store));
    for (const message of scan.rows) {
      const local = this.#localOf(row, message);
      if ((message.kinds & KIND.file) !== 0) onFiles(local);
      this.#listener(local);
    }
    this.#next = scan.next;
    left -= scan.rows.length;
    if (this.#options.receipts) {
      const others = scan.rows.filter(({ sender }) => sender !== store.owner);
      receipts.read(row.id, Math.max(others[0]?.seq ?? 0, others.at(-1)?.seq ?? 0));
    }
    // What waits to be sent stands above the newest.
    const atEnd = !this.#falling && (scan.hole?.from ?? 0) > row.last_seq;
    if (atEnd) left -= this.#readOutbox(left);
    return count - left;
  }

  /**
   * Fetches what the local database lacks of the next `count` messages, of this conversation alone,
   * and corrects what it has. Resolves to how many can now be read, and tells that to `onSync` before;
   * 0 means that there are no more. Fails with the `BackscrollError` of the call; what had arrived by
   * then is there, and the next call goes on behind it.
   */
  async sync(count: number, onSync?: (readable: number) => void): Promise<number> {
    const { store, pull, tasks } = this.#context;
    const readable = await tasks.run((signal) => {
      const { id } = store.conversation(this.conversation) ?? this.#ensure();
      return pull.inTurn(id, () => this.#syncInTurn(id, count, signal));
    });
    onSync?.(readable);
    return readable;
  }

  /**
   * Reads `count` messages, and where the local database has fewer, fetches the rest and reads it.
   * Gives how many were handed over; fewer than `count` means that there are no more.
   */
  async more(count: number): Promise<number> {
    await this.#freshen();
    const read = this.read(count);
    if (read >= count) return read;
    const readable = await this.sync(count - read);
    return read + (readable > 0 ? this.read(Math.min(readable, count - read)) : 0);
  }

  /** What is known to have changed is corrected before it is read, where there is a connection. */
  async #freshen(): Promise<void> {
    const row = this.#row();
    if (!row || !isStale(row)) return;
    const { pull, tasks } = this.#context;
    try {
      await tasks.run((signal) => pull.inTurn(row.id, () => this.#correct(row.id, signal)));
    } catch (error) {
      if (!(error instanceof BackscrollError && willPass(error))) throw error;
    }
  }

  async #syncInTurn(id: number, count: number, signal: AbortSignal): Promise<number> {
    const { store, pull } = this.#context;
    const row = store.conversationOf(id);
    if (!isStale(row) && this.#isOver(row)) return 0;
    await this.#correct(id, signal);
    for (let asked: Interval | undefined; ; ) {
      const { rows, hole } = this.#seqs(store.conversationOf(id), count);
      const missing = count - rows.length;
      if (missing <= 0 || !hole) return rows.length;
      // The service has no more, though the hole ends as before: what is above the newest always is one.
      if (asked && (this.#falling ? hole.from === asked.from : hole.to === asked.to)) {
        return rows.length;
      }
      const wanted = {
        ...{ hole, count: missing, newestFirst: this.#falling },
        ...{ pick: this.#pick, filter: this.#filter },
      };
      asked = (await pull.fetch(id, wanted, signal)) ? undefined : hole;
    }
  }

  /** Brings what is held up to date: once, and again where that failed or more is known to have changed. */
  async #correct(id: number, signal: AbortSignal): Promise<void> {
    const { store, pull } = this.#context;
    if (this.#corrected && !isStale(store.conversationOf(id))) return;
    await pull.correct(id, signal);
    this.#corrected = true;
  }

  /** Whether a session that goes down has handed over all there is. */
  #isOver(row: ConversationRow): boolean {
    if (!this.#falling || this.#next === undefined) return false;
    const { rows, hole } = this.#seqs(row, 1);
    return rows.length === 0 && !hole;
  }

  /**
   * The next messages from where the session stands that are known without a hole, or where `across`
   * whatever lies between; where the session stands then; and the hole that comes next, undefined where
   * the conversation ends before one.
   */
  #scan<T extends { readonly seq: number }>(
    row: ConversationRow,
    count: number,
    across: boolean,
    find: (...query: Parameters<LocalStore['messages']>) => T[],
  ): { rows: T[]; next: number | undefined; hole: Interval | undefined } {
    const { store } = this.#context;
    const { key } = this.#pick;
    const all = store.known(row.id, '');
    const known = key === '' ? all : union(all, store.known(row.id, key));
    const lowest = this.#fixLowest(row);
    const rows: T[] = [];
    const start = this.#next ?? this.#start(row, known, lowest);
    if (start === undefined) return { rows, next: start, hole: { from: lowest, to: Infinity } };
    // As long as nothing was read, what is new stands before it.
    const begun = (next: number) =>
      rows.length === 0 && this.#next === undefined ? undefined : next;
    let next = start;
    for (;;) {
      const ended = this.#falling && next < lowest;
      if (ended || rows.length >= count) return { rows, next: begun(next), hole: undefined };
      const stretch = this.#falling ? stretchBelow(known, next) : stretchAbove(known, next);
      const cut = { from: Math.max(stretch.from, lowest), to: stretch.to };
      if (!stretch.held) {
        const atEnd = !this.#falling && stretch.to === Infinity;
        if (!across || atEnd) return { rows, next: begun(next), hole: cut };
      }
      const some = find(row.id, cut, this.#and(), {
        falling: this.#falling,
        count: count - rows.length,
        nowMs: Date.now(),
      });
      rows.push(...some);
      const full = rows.length >= count;
      if (this.#falling) next = full ? rows.at(-1)!.seq - 1 : cut.from - 1;
      else next = full ? rows.at(-1)!.seq + 1 : cut.to + 1;
    }
  }

  /** As `#scan`, of what can be read without a hole: the seqs alone. */
  #seqs(row: ConversationRow, count: number) {
    const { store } = this.#context;
    return this.#scan(row, count, false, store.seqs.bind(store));
  }

  /** Where a session begins: undefined where nothing is held, and what is newest is not known. */
  #start(row: ConversationRow, known: readonly Interval[], lowest: number): number | undefined {
    if (!this.#falling) return lowest;
    if (!this.#context.store.holdsAny(row.id)) return undefined;
    const newest = Math.max(row.last_seq, known.at(-1)?.to ?? 0);
    return newest === 0 ? undefined : newest;
  }

  /** The lowest seq of the session; of one of unread messages, fixed when first something is known. */
  #fixLowest({ last_seq, read_seq }: ConversationRow): number {
    if (!this.#options.unread) return 1;
    if (last_seq > 0) this.#lowest ??= read_seq + 1;
    return this.#lowest ?? 1;
  }

  #and(): Picked {
    if (!this.#options.unread) return this.#pick;
    return {
      ...this.#pick,
      and: `${this.#pick.and} AND ${NEWS}`,
      values: [...this.#pick.values, this.#context.store.owner],
    };
  }

  /** What waits to be sent matches no filter, for it has no seq yet. */
  #readOutbox(count: number): number {
    const { outbox, store } = this.#context;
    if (this.#filter || this.#options.unread || count <= 0) return 0;
    const row = this.#row();
    if (!row) return 0;
    const waiting = outbox.messages(row.id, {
      after: this.#outbox,
      falling: this.#falling,
      count,
      nowMs: Date.now(),
    });
    for (const one of waiting) {
      this.#outbox = one.id;
      this.#listener(waitingMessage(this.conversation, one, store.owner));
    }
    return waiting.length;
  }

  #localOf(row: ConversationRow, message: MessageRow): LocalMessage {
    const status = statusOf(row, message, this.#context.store.owner);
    return new LocalMessage(this.conversation, message, status, 'database');
  }

  #row(): ConversationRow | undefined {
    return this.#context.store.conversation(this.conversation);
  }

  #ensure(): ConversationRow {
    const { store } = this.#context;
    return store.write(() => store.ensureConversation(this.conversation));
  }
}

/** How far a message that is stored has come. */
export function statusOf(
  { peer_read_seq, peer_delivered_seq }: ConversationRow,
  { seq, sender }: MessageRow,
  owner: string,
): MessageStatus {
  if (sender !== owner) return 'received';
  if (seq <= peer_read_seq) return 'read';
  return seq <= peer_delivered_seq ? 'delivered' : 'sent';
}
