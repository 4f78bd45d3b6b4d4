import { willPass } from '../../attempts.ts';
import { BackscrollError } from '../../errors.ts';
import type { Filter, MessageKind } from '../../history/history-requests.ts';
import {
  checkConversationName,
  checkCount,
  checkFunction,
  checkString,
  invalid,
} from '../local/checks.ts';
import { type ConversationRow, isStale, statusOf } from '../local/conversation-row.ts';
import { NEWS } from '../local/counts.ts';
import { type Interval, stretchAbove, stretchBelow, union } from '../local/intervals.ts';
import type { LocalStore } from '../local/local-store.ts';
import { type ConversationName, KIND, LocalMessage, type MessageRow } from '../local/message.ts';
import { ALL, type Picked, pickOf } from '../local/pick.ts';
import type { Value } from '../local/sqlite.ts';
import { readWaiting, type Waiting, waitingMessage } from '../local/waiting.ts';
import type { Tasks } from '../tasks.ts';
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
  /** Ends what the session fetches, which then fails with CANCELLED. */
  readonly signal?: AbortSignal | undefined;
};

/** What a look at the local database came to. */
interface Looked {
  /** Messages without a hole between them. */
  readonly found: number;
  /** The hole behind them; undefined where they are as many as were wanted, or the conversation ends. */
  readonly hole: Interval | undefined;
}

type Look = (atEnd: boolean) => Looked;

/**
 * SQL of messages that were not handed over while they waited; binds the user, ids as JSON, and the
 * conversation. What is refused for its id is not what is stored under that.
 */
const NOT_HANDED = `NOT (
  sender = ? AND id IN (SELECT value FROM json_each(?))
  AND id NOT IN (
    SELECT message_id FROM outbox WHERE conversation_id = ? AND failure LIKE 'MESSAGE_ID_CONFLICT:%'
  )
)`;

const NOTHING_KNOWN: Looked = { found: 0, hole: { from: 1, to: Infinity } };

/** What the local database has of the next messages, or conversations, of a session. */
export interface Ahead {
  /** How many of them can be read, without one lacking between them. */
  readonly readable: number;
  /** It lacks what comes behind these; else, where they are fewer than asked for, there are no more. */
  readonly lacking: boolean;
}

/** Told each message that is read. */
export type MessageListener = (message: LocalMessage) => void;

/** What sessions of all conversations work with. */
export interface ReadContext {
  readonly store: LocalStore;
  readonly pull: Pull;
  readonly receipts: Receipts;
  /** Told each message with files that is read, before the listener. */
  readonly onFiles: (message: LocalMessage) => void;
  /** Told the conversation when something came that is above a session. */
  readonly onNews: (row: ConversationRow) => void;
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
  /** The last message of the outbox that was handed over; undefined before the first. */
  #outbox: number | undefined;
  /** Ids of those that were: sent meanwhile, they are not to be handed over once more. */
  readonly #waited = new Set<string>();
  #corrected = false;
  /** What is new was asked for at the end. */
  #renewed = false;

  /** For the device's own use. */
  constructor(context: ReadContext, options: ReadOptions, listener: MessageListener) {
    checkOptions(options);
    checkFunction('listener', listener);
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
    checkCount(count);
    return this.#read(count, true).found;
  }

  /**
   * How many of the next `count` messages can be read, and whether the local database lacks what comes behind
   * them: tells the end of the conversation from the end of what is held of it, without asking the service.
   */
  ahead(count: number): Ahead {
    checkCount(count);
    const row = this.#row();
    if (!row) return { readable: 0, lacking: true };
    const { found, hole } = this.#readable(count);
    const isEnd = !hole || (!this.#falling && hole.from > row.last_seq);
    const atOutbox = this.#falling ? this.#next === undefined : isEnd;
    const waiting = atOutbox ? this.#waiting(row, count).length : 0;
    const readable = Math.min(found + waiting, count);
    return { readable, lacking: readable < count && (!isEnd || isStale(row)) };
  }

  /** `atEnd`: what ends here ends the conversation, as far as is known. */
  #read(count: number, atEnd: boolean): Looked {
    const { store, onFiles, receipts } = this.#context;
    const row = this.#row();
    if (!row) return NOTHING_KNOWN;
    let left = count;
    // What waits to be sent stands above the newest: a session that has gone below does not return to it.
    if (this.#falling && this.#next === undefined) left -= this.#readOutbox(row, left);
    const across = this.#options.acrossHoles === true;
    const rows: MessageRow[] = [];
    const { next, hole } = this.#scan(row, left, across, (...query) => {
      const some = store.messages(...query);
      rows.push(...some);
      return { count: some.length, last: some.at(-1)?.seq };
    });
    for (const message of rows) {
      // The listener may fail: what it was handed was read.
      this.#next = this.#falling ? message.seq - 1 : message.seq + 1;
      const local = this.#localOf(row, message);
      if ((message.kinds & KIND.file) !== 0) onFiles(local);
      this.#listener(local);
    }
    this.#next = next;
    left -= rows.length;
    if (this.#options.receipts) {
      const others = rows.filter(({ sender }) => sender !== store.owner);
      receipts.read(row.id, Math.max(others[0]?.seq ?? 0, others.at(-1)?.seq ?? 0));
    }
    const isEnd = atEnd && !this.#falling && (hole?.from ?? 0) > row.last_seq;
    if (isEnd) left -= this.#readOutbox(row, left);
    return { found: count - left, hole };
  }

  /**
   * Fetches what the local database lacks of the next `count` messages, of this conversation alone,
   * and corrects what it has. Resolves to how many can now be read, and tells that to `onSync` before;
   * 0 means that there are no more: then, once, up to `count` messages that are new above where the session
   * began are fetched, and told by the device's `conversation` event. Fails with the `BackscrollError` of
   * the call; what had arrived by then is there, and the next call goes on behind it.
   */
  async sync(count: number, onSync?: (readable: number) => void): Promise<number> {
    checkCount(count);
    const readable = await this.#inTurn(async (signal) => {
      if (this.#isOver()) await ifReachable(this.#renew(count, signal));
      return this.#fetch(count, () => this.#readable(count), signal);
    });
    onSync?.(readable);
    return readable;
  }

  /**
   * Reads `count` messages, and where the local database has fewer, fetches the rest and reads it.
   * Gives how many were handed over; fewer than `count` means that there are no more. Nothing is asked of
   * the service where the database knows that by itself.
   */
  async more(count: number): Promise<number> {
    checkCount(count);
    await this.#freshen();
    let read = this.#read(count, false).found;
    if (read >= count) return read;
    const look: Look = (atEnd) => {
      const { found, hole } = this.#read(count - read, atEnd);
      read += found;
      return { found: read, hole };
    };
    await this.#inTurn((signal) => this.#fetch(count, look, signal));
    return read;
  }

  /** What is known to have changed is corrected before it is read, where there is a connection. */
  async #freshen(): Promise<void> {
    const row = this.#row();
    if (row && isStale(row)) await ifReachable(this.#inTurn((signal) => this.#correct(signal)));
  }

  /**
   * Fetches the holes that `look` comes to before it has found `count` messages; it is told whether the
   * service has no more. Resolves to how many it found at last, 0 where all were handed over before.
   */
  async #fetch(count: number, look: Look, signal: AbortSignal): Promise<number> {
    const { pull } = this.#context;
    if (this.#isOver()) return 0;
    await this.#correct(signal);
    for (let asked: Interval | undefined; ; ) {
      const { found, hole } = look(asked !== undefined);
      const missing = count - found;
      if (missing <= 0 || !hole) return found;
      // The service has no more, though the hole ends as before: what is above the newest always is one.
      if (asked && (this.#falling ? hole.from === asked.from : hole.to === asked.to)) return found;
      const wanted = {
        ...{ hole, count: missing, newestFirst: this.#falling },
        ...{ pick: this.#pick, filter: this.#filter },
      };
      asked = (await pull.fetch(this.conversation, wanted, signal)) ? undefined : hole;
    }
  }

  /**
   * A session that goes down has come to the end: what has changed and what is new is learned all the same, once,
   * where there is a connection, so that the next one has it.
   */
  async #renew(count: number, signal: AbortSignal): Promise<void> {
    if (this.#renewed || count === 0) return;
    const { store, pull, onNews } = this.#context;
    await pull.correct(this.conversation, signal);
    this.#corrected = true;
    this.#renewed = true;
    const row = this.#row()!;
    const { held, from, to } = stretchBelow(this.#known(row), row.last_seq);
    if (held || from <= this.#next!) return;
    const wanted = { hole: { from, to }, count, newestFirst: true };
    const what = { pick: this.#pick, filter: this.#filter };
    await pull.fetch(this.conversation, { ...wanted, ...what }, signal);
    onNews(store.conversationOf(row.id));
  }

  /** Does `work` when all that was asked of the conversation before is done. */
  #inTurn<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { pull, tasks } = this.#context;
    return tasks.run(
      (signal) => pull.inTurn(this.conversation, () => work(signal)),
      this.#options.signal,
    );
  }

  /** Brings what is held up to date: once, and again where that failed or more is known to have changed. */
  async #correct(signal: AbortSignal): Promise<void> {
    const row = this.#row();
    const isDue = row && (isStale(row) || !this.#corrected);
    if (isDue) await this.#context.pull.correct(this.conversation, signal);
    this.#corrected = true;
  }

  /** Whether a session that goes down has handed over all there is, as far as is known. */
  #isOver(): boolean {
    if (!this.#falling || this.#next === undefined) return false;
    const row = this.#row();
    if (!row || isStale(row)) return false;
    const { found, hole } = this.#readable(1);
    return found === 0 && !hole;
  }

  /**
   * Finds the next messages from where the session stands that are known without a hole, or where
   * `across` whatever lies between: how many; where the session stands then; and the hole that comes next,
   * undefined where the conversation ends before one.
   */
  #scan(
    row: ConversationRow,
    count: number,
    across: boolean,
    find: LocalStore['reach'],
  ): Looked & { readonly next: number | undefined } {
    const known = this.#known(row);
    const lowest = this.#fixLowest(row);
    let found = 0;
    const start = this.#next ?? this.#start(row, known, lowest);
    if (start === undefined) return { found, next: start, hole: { from: lowest, to: Infinity } };
    // As long as nothing was read, what is new stands before it.
    const begun = (next: number) => (found === 0 && this.#next === undefined ? undefined : next);
    let next = start;
    for (;;) {
      const ended = this.#falling && next < lowest;
      if (ended || found >= count) return { found, next: begun(next), hole: undefined };
      const stretch = this.#falling ? stretchBelow(known, next) : stretchAbove(known, next);
      const cut = { from: Math.max(stretch.from, lowest), to: stretch.to };
      if (!stretch.held) {
        const atEnd = !this.#falling && stretch.to === Infinity;
        if (!across || atEnd) return { found, next: begun(next), hole: cut };
      }
      const some = find(row.id, cut, this.#and(row), {
        falling: this.#falling,
        count: count - found,
        nowMs: Date.now(),
      });
      found += some.count;
      const full = found >= count;
      if (this.#falling) next = full ? some.last! - 1 : cut.from - 1;
      else next = full ? some.last! + 1 : cut.to + 1;
    }
  }

  /** Intervals that are known under the session's filter. */
  #known({ id }: ConversationRow): Interval[] {
    const { store } = this.#context;
    const { key } = this.#pick;
    const all = store.known(id, '');
    return key === '' ? all : union(all, store.known(id, key));
  }

  /** How many of the next `count` messages can be read without a hole, and the hole that comes next. */
  #readable(count: number): Looked {
    const { store } = this.#context;
    const row = this.#row();
    if (!row) return NOTHING_KNOWN;
    return this.#scan(row, count, false, store.reach.bind(store));
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

  #and({ id }: ConversationRow): Picked {
    const { owner } = this.#context.store;
    if (this.#options.unread) return narrowed(this.#pick, NEWS, owner);
    if (this.#waited.size === 0) return this.#pick;
    const ids = JSON.stringify([...this.#waited]);
    return narrowed(this.#pick, NOT_HANDED, owner, ids, id);
  }

  /** What waits to be sent matches no filter, for it has no seq yet. */
  #waiting({ id }: ConversationRow, count: number): Waiting[] {
    if (this.#filter || this.#options.unread || count <= 0) return [];
    const { store } = this.#context;
    const where = { after: this.#outbox, falling: this.#falling };
    return readWaiting(store, id, { ...where, count, nowMs: Date.now() });
  }

  #readOutbox(row: ConversationRow, count: number): number {
    const { store } = this.#context;
    const waiting = this.#waiting(row, count);
    for (const one of waiting) {
      this.#outbox = one.id;
      this.#waited.add(one.row.id);
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
}

/** INVALID_ARGUMENT, reasons MISSING_FIELD, TOO_LARGE, INVALID_FIELD. */
function checkOptions(options: ReadOptions): void {
  checkConversationName(options);
  const { order = 'newest-first', kinds = [], thread = '' } = options;
  if (order !== 'newest-first' && order !== 'oldest-first') {
    throw invalid('INVALID_FIELD', 'order', 'must be newest-first or oldest-first');
  }
  if (!Array.isArray(kinds)) throw invalid('INVALID_FIELD', 'kinds', 'must be an array');
  for (const [index, kind] of kinds.entries()) {
    if (Object.hasOwn(KIND, kind)) continue;
    throw invalid('INVALID_FIELD', `kinds[${index}]`, `must be one of ${Object.keys(KIND)}`);
  }
  checkString('thread', thread);
}

/** Waits for what is worth a try: that there is no connection is no failure. */
async function ifReachable(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!(error instanceof BackscrollError && willPass(error))) throw error;
  }
}

function narrowed(pick: Picked, condition: string, ...values: readonly Value[]): Picked {
  return { ...pick, and: `${pick.and} AND ${condition}`, values: [...pick.values, ...values] };
}
