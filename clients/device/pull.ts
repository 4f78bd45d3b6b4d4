import { BackscrollError } from '../errors.ts';
import type { Message } from '../gen/backscroll/history/v1/message_pb.ts';
import type { HistoryClient } from '../history-client.ts';
import type { Filter, SyncInit } from '../history-requests.ts';
import { type Interval, stretchBelow } from './intervals.ts';
import { ALL, type ConversationRow, type LocalStore, nameOf, type Picked } from './local-store.ts';
import { type ConversationName, type MessageRow, rowOf } from './message.ts';

/** What a fetch is to bring. */
export interface Wanted {
  /** Seqs that are not known: only these are asked for. `to` is Infinity for up to the newest. */
  readonly hole: Interval;
  /** How many messages, at most. */
  readonly count: number;
  /** Which end of the hole to begin at. */
  readonly newestFirst: boolean;
  readonly pick: Picked;
  readonly filter: Filter | undefined;
}

/**
 * Brings what the service has of conversations into the local database: one conversation at a time,
 * on demand, each seq once. What is asked of one conversation is done one after another.
 */
export class Pull {
  readonly #store: LocalStore;
  readonly #history: HistoryClient;
  readonly #queues = new Map<number, Promise<unknown>>();

  constructor(store: LocalStore, history: HistoryClient) {
    this.#store = store;
    this.#history = history;
  }

  /** Does `work` once all that was asked of the conversation before is done. */
  async inTurn<T>(id: number, work: () => Promise<T>): Promise<T> {
    const turn = (this.#queues.get(id) ?? Promise.resolve()).then(work, work);
    this.#queues.set(id, turn);
    try {
      return await turn;
    } finally {
      if (this.#queues.get(id) === turn) this.#queues.delete(id);
    }
  }

  /**
   * Corrects what is held of a conversation by what changed since, and learns how far it goes. Where
   * the service can't tell any more, or what the user may see has changed, all of it is forgotten.
   */
  async correct(id: number, signal: AbortSignal): Promise<void> {
    if (!this.#store.holdsAny(id)) return;
    const { revision } = this.#store.conversationOf(id);
    try {
      await this.#changesSince(id, revision, signal);
    } catch (error) {
      if (!isReason(error, 'RESYNC_REQUIRED')) throw error;
      this.#store.write(() => this.#store.forget(id));
    }
  }

  /**
   * Fetches messages of a hole, at its end or beginning, and stores them as they come: what has
   * arrived when a connection breaks is known, and not fetched again.
   */
  async fetch(id: number, wanted: Wanted, signal: AbortSignal): Promise<void> {
    const before = this.#store.conversationOf(id);
    const held = this.#store.holdsAny(id);
    const page = this.#history.sync(this.#request(before, wanted), { signal });
    let edge = wanted.newestFirst ? wanted.hole.to : wanted.hole.from;
    for await (const messages of page.frames()) {
      edge = this.#storeFrame(id, messages, edge, wanted);
    }
    const result = await page.result;
    const epoch = Number(result.epoch);
    const revision = Number(result.revision);
    const void_ = held && epoch !== before.epoch;
    this.#store.write(() => {
      if (void_) this.#store.forget(id);
      this.#store.changeConversation(id, {
        ...told(this.#store.conversationOf(id), result),
        ...(!held && { revision }),
      });
      if (void_) return;
      const from = result.reachedOldest && wanted.pick === ALL ? 1 : Number(result.fromSeq);
      this.#store.addKnown(id, wanted.pick.key, { from, to: Number(result.toSeq) });
      this.#store.raiseFloor(id, Number(result.floorSeq));
    });
    if (held && !void_ && revision > before.revision) await this.correct(id, signal);
  }

  /** Messages that arrived in another way: they are known. Gives those that were not there. */
  receive(name: ConversationName, messages: readonly Message[]): MessageRow[] {
    return this.#store.write(() => {
      const { id, last_seq, last_at_ms } = this.#store.ensureConversation(name);
      const rows = messages.map((message) => rowOf(message, this.#store.owner));
      const fresh = rows.filter((row) => this.#store.putMessages(id, [row]) > 0);
      for (const run of runsOf(rows)) this.#store.addKnown(id, '', run);
      const newest = rows.reduce((a, b) => (b.seq > a.seq ? b : a));
      if (newest.seq > last_seq) {
        this.#store.changeConversation(id, {
          last_seq: newest.seq,
          last_at_ms: Math.max(newest.sent_at_ms, last_at_ms),
          listed: 1,
        });
      }
      return fresh;
    });
  }

  #request(conversation: ConversationRow, { hole, count, newestFirst, filter }: Wanted): SyncInit {
    const { owner: user } = this.#store;
    const open = hole.to === Infinity;
    const untilSeq = newestFirst
      ? hole.from > 1
        ? hole.from
        : undefined
      : open
        ? undefined
        : hole.to;
    return {
      user,
      ...nameOf(conversation),
      count,
      filter,
      order: newestFirst ? 'newest-first' : 'oldest-first',
      untilSeq,
      ...(newestFirst && !open && { beforeSeq: hole.to + 1 }),
      ...(!newestFirst && { afterSeq: hole.from - 1 }),
    };
  }

  /** Stores what a frame brought; gives the edge of the hole from which on nothing is known yet. */
  #storeFrame(id: number, messages: readonly Message[], edge: number, wanted: Wanted): number {
    const rows = messages.map((message) => rowOf(message, this.#store.owner));
    const [first, last] = [rows[0]!.seq, rows.at(-1)!.seq];
    const came: Interval = wanted.newestFirst
      ? { from: last, to: edge === Infinity ? first : edge }
      : { from: edge, to: last };
    this.#store.write(() => {
      this.#store.putMessages(id, rows);
      this.#store.addKnown(id, wanted.pick.key, came);
      const { last_seq } = this.#store.conversationOf(id);
      this.#store.changeConversation(id, { last_seq: Math.max(last_seq, came.to) });
    });
    return wanted.newestFirst ? last - 1 : last + 1;
  }

  async #changesSince(id: number, revision: number, signal: AbortSignal): Promise<void> {
    const store = this.#store;
    const before = store.conversationOf(id);
    const changes = this.#history.changes(
      { user: store.owner, ...nameOf(before), sinceRevision: revision },
      { signal },
    );
    for await (const { messages, hiddenSeqs } of changes.frames()) {
      store.write(() => {
        const known = store.knownUnderAny(id);
        const held = messages.filter(({ seq }) => stretchBelow(known, Number(seq)).held);
        store.putMessages(
          id,
          held.map((message) => rowOf(message, store.owner)),
        );
        store.removeSeqs(id, hiddenSeqs.map(Number));
      });
    }
    const result = await changes.result;
    const epoch = Number(result.epoch);
    store.write(() => {
      if (epoch !== before.epoch) store.forget(id);
      const { last_seq, told_revision } = store.conversationOf(id);
      const now = Number(result.revision);
      store.changeConversation(id, {
        ...{ epoch, revision: now, told_revision: Math.max(told_revision, now) },
        last_seq: Math.max(last_seq, Number(result.lastSeq)),
      });
      store.raiseFloor(id, Number(result.floorSeq));
    });
  }
}

/** What the result of a page tells of a conversation. */
function told(
  row: ConversationRow,
  result: {
    readonly lastSeq: bigint;
    readonly revision: bigint;
    readonly epoch: bigint;
    readonly marks?: { readonly readSeq: bigint; readonly deliveredSeq: bigint } | undefined;
    readonly peerMarks?: { readonly readSeq: bigint; readonly deliveredSeq: bigint } | undefined;
  },
) {
  const { marks, peerMarks } = result;
  const rising = (old: number, value: bigint | undefined) => Math.max(old, Number(value ?? 0n));
  return {
    epoch: Number(result.epoch),
    last_seq: rising(row.last_seq, result.lastSeq),
    told_revision: rising(row.told_revision, result.revision),
    read_seq: rising(row.read_seq, marks?.readSeq),
    delivered_seq: rising(row.delivered_seq, marks?.deliveredSeq),
    told_read_seq: rising(row.told_read_seq, marks?.readSeq),
    told_delivered_seq: rising(row.told_delivered_seq, marks?.deliveredSeq),
    peer_read_seq: rising(row.peer_read_seq, peerMarks?.readSeq),
    peer_delivered_seq: rising(row.peer_delivered_seq, peerMarks?.deliveredSeq),
  };
}

/** The runs of seqs that follow one another, whatever the order of the rows. */
function runsOf(rows: readonly MessageRow[]): Interval[] {
  const seqs = rows.map(({ seq }) => seq).sort((a, b) => a - b);
  const runs: { from: number; to: number }[] = [];
  for (const seq of seqs) {
    const run = runs.at(-1);
    if (run && seq <= run.to + 1) run.to = seq;
    else runs.push({ from: seq, to: seq });
  }
  return runs;
}

/** Whether a call was refused for a reason. */
export function isReason(error: unknown, reason: string): error is BackscrollError {
  return error instanceof BackscrollError && error.reason === reason;
}
