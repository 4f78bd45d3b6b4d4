import { isReason } from '../../errors.ts';
import type { SyncResult } from '../../gen/backscroll/history/v1/history_pb.ts';
import { MemberState } from '../../gen/backscroll/history/v1/inbox_pb.ts';
import type { Message } from '../../gen/backscroll/history/v1/message_pb.ts';
import type { HistoryClient } from '../../history/history-client.ts';
import type { Filter, SyncInit } from '../../history/history-requests.ts';
import { checkWhole } from '../local/checks.ts';
import {
  type ConversationRow,
  firstOf,
  isForgottenSince,
  isStale,
  keyOf,
  nameOf,
  UNKNOWN_EPOCH,
} from '../local/conversation-row.ts';
import { type Interval, runsOf, stretchBelow } from '../local/intervals.ts';
import type { LocalStore } from '../local/local-store.ts';
import { type ConversationName, exact, type MessageRow, rowOf } from '../local/message.ts';
import type { Picked } from '../local/pick.ts';

/** How long the service may take for the next part of an answer, in milliseconds: others wait for it. */
const STALL_MS = 30_000;

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
  readonly #queues = new Map<string, Promise<unknown>>();

  constructor(store: LocalStore, history: HistoryClient) {
    this.#store = store;
    this.#history = history;
  }

  /** Does `work` once all that was asked before of the conversation, or of the inbox, is done. */
  async inTurn<T>(of: ConversationName | 'inbox', work: () => Promise<T>): Promise<T> {
    const key = of === 'inbox' ? of : keyOf(of).join(':');
    const turn = (this.#queues.get(key) ?? Promise.resolve()).then(work, work);
    this.#queues.set(key, turn);
    try {
      return await turn;
    } finally {
      if (this.#queues.get(key) === turn) this.#queues.delete(key);
    }
  }

  /**
   * Corrects what is held of a conversation by what changed since, and learns how far it goes. Where
   * the service can't tell any more, or what the user may see has changed, all of it is forgotten.
   */
  async correct(name: ConversationName, signal: AbortSignal): Promise<void> {
    const row = this.#store.conversation(name);
    if (!row || !this.#store.holdsAny(row.id)) return;
    try {
      await this.#changes(row, signal);
    } catch (error) {
      if (!isReason(error, 'RESYNC_REQUIRED')) throw error;
      this.#store.write(() => this.#store.forget(row.id));
    }
  }

  /**
   * Fetches messages of a hole, from its end or beginning on, and stores them as they come: what has
   * arrived when a connection breaks is known, and not fetched again. Gives whether the hole may have more.
   */
  async fetch(name: ConversationName, wanted: Wanted, signal: AbortSignal): Promise<boolean> {
    const store = this.#store;
    const known = store.conversation(name);
    const before = known ?? firstOf(name);
    // Counts what this call puts in, as long as nobody else does, where there was nothing before.
    let alone = known && store.holdsAny(known.id) ? undefined : before.landings;
    let came = 0;
    let edge = wanted.newestFirst ? wanted.hole.to : wanted.hole.from;
    const options = { signal, stallMs: STALL_MS };
    const page = this.#history.sync(this.#request(name, wanted), options);
    const land = (row: ConversationRow, messages: readonly Message[]) => {
      came += messages.length;
      const rows = messages.map((message) => rowOf(message, store.owner));
      const intervals = intervalsOf(rows, before.epoch, edge, wanted.newestFirst);
      store.land(row, rows, { key: wanted.pick.key, intervals }, before.told_revision);
      alone = alone === row.landings ? row.landings + 1 : undefined;
      edge = wanted.newestFirst ? rows.at(-1)!.seq - 1 : rows.at(-1)!.seq + 1;
    };
    // The last frame and the result are put in together: mostly there is but one.
    let frame: readonly Message[] = [];
    /** Gives the conversation as it stood before; undefined where nothing was put in any more. */
    const landed = (): ConversationRow | undefined => {
      const row = store.ensureConversation(name);
      // Meanwhile the user may have come to see something else, or nothing.
      if (isForgottenSince(before, row)) return undefined;
      if (frame.length > 0) land(row, frame);
      return row;
    };
    try {
      for await (const messages of page.frames()) {
        if (frame.length > 0 && !store.write(landed)) return true;
        frame = messages;
      }
    } catch (error) {
      if (frame.length > 0) store.write(landed);
      throw error;
    }
    const result = await page.result;
    const row = store.write(() => {
      const place = landed();
      if (!place) return undefined;
      const landings = place.landings + (frame.length > 0 ? 1 : 0);
      this.#finish(place.id, wanted.pick, result, alone === landings);
      return store.conversationOf(place.id);
    });
    if (!row) return true;
    if (isStale(row)) await this.correct(name, signal);
    return came === wanted.count;
  }

  /**
   * Messages that arrived in another way: they are known. Gives those that are new, or newer than what is
   * held. One that the service told of before may have changed since it was sent on its way: it is left to
   * be fetched; so are all of a group that is gone. Fails with INVALID_ARGUMENT where one has no seq: nothing is then put in.
   */
  receive(name: ConversationName, messages: readonly Message[]): MessageRow[] {
    const store = this.#store;
    for (const [index, { seq }] of messages.entries()) {
      checkWhole(`messages[${index}].seq`, Number(seq), 1);
    }
    const rows = newestOf(messages.map((message) => rowOf(message, store.owner)));
    return store.write(() => {
      const conversation = store.ensureConversation(name);
      const { id, last_seq, told_seq, revision, last_at_ms } = conversation;
      // It comes too late. Should the user be in such a group once more, the inbox tells first.
      if (conversation.state === MemberState.GONE) return [];
      const known = store.known(id, '');
      const fresh: MessageRow[] = [];
      const changed: MessageRow[] = [];
      for (const row of rows) {
        const { seq } = row;
        const held = seq <= last_seq ? store.revisionOf(id, seq) : undefined;
        if (held !== undefined) {
          if (row.revision > held) changed.push(row);
        } else if (stretchBelow(known, seq).held) {
          // What does not stand there, within what is known, is not for the user to see.
        } else if (seq > told_seq || row.revision >= revision) fresh.push(row);
      }
      store.putMessages(conversation, changed);
      if (fresh.length > 0) {
        const intervals = runsOf(fresh.map(({ seq }) => seq));
        store.land(conversation, fresh, { key: '', intervals }, revision);
        const newest = fresh.reduce((a, b) => (b.seq > a.seq ? b : a));
        if (newest.seq > last_seq) {
          const lastAtMs = Math.max(newest.sent_at_ms, last_at_ms);
          store.changeConversation(id, { last_at_ms: lastAtMs, listed: 1 });
        }
      }
      // One whose time has come is told nobody.
      const nowMs = Date.now();
      return [...fresh, ...changed].filter(({ expires_at_ms: at }) => at === 0 || at > nowMs);
    });
  }

  #request(name: ConversationName, { hole, count, newestFirst, filter }: Wanted): SyncInit {
    const { from, to } = hole;
    const { owner: user } = this.#store;
    const request = { user, ...name, count, filter };
    const end = to === Infinity ? {} : newestFirst ? { beforeSeq: to + 1 } : { untilSeq: to };
    if (!newestFirst) return { ...request, order: 'oldest-first', afterSeq: from - 1, ...end };
    return { ...request, order: 'newest-first', ...end, ...(from > 1 && { untilSeq: from }) };
  }

  /** Takes over the result of a page; `alone`: all that is held came with it. */
  #finish(id: number, { key }: Picked, result: SyncResult, alone: boolean): void {
    const store = this.#store;
    if (!store.learn(id, result, alone)) return;
    const { fromSeq, toSeq, lastSeq, reachedOldest, reachedNewest } = result;
    store.addKnown(id, key, {
      from: reachedOldest ? 1 : exact(fromSeq),
      to: reachedNewest ? exact(lastSeq) : exact(toSeq),
    });
  }

  async #changes(before: ConversationRow, signal: AbortSignal): Promise<void> {
    const store = this.#store;
    const { id } = before;
    const changes = this.#history.changes(
      { user: store.owner, ...nameOf(before), sinceRevision: before.revision },
      { signal, stallMs: STALL_MS },
    );
    let { landings } = before;
    for await (const { messages, hiddenSeqs } of changes.frames()) {
      landings += 1;
      store.write(() => {
        store.countLanding(id);
        const conversation = store.conversationOf(id);
        const known = store.knownUnderAny(id);
        const held = messages.filter(({ seq }) => stretchBelow(known, Number(seq)).held);
        store.putMessages(
          conversation,
          held.map((message) => rowOf(message, store.owner)),
        );
        store.removeSeqs(id, hiddenSeqs.map(Number));
      });
    }
    const result = await changes.result;
    store.write(() => {
      const now = store.conversationOf(id);
      if (isForgottenSince(before, now) || !store.learn(id, result)) return;
      // What was put in meanwhile may have missed its change: the next time asks once more.
      if (now.landings !== landings) return;
      store.changeConversation(id, { revision: exact(result.revision) });
    });
  }
}

/** Each message once, as its highest revision tells it. */
function newestOf(rows: readonly MessageRow[]): readonly MessageRow[] {
  if (rows.every(({ seq }, n) => n === 0 || seq > rows[n - 1]!.seq)) return rows;
  const newest = new Map<number, MessageRow>();
  for (const row of rows) {
    if (row.revision >= (newest.get(row.seq)?.revision ?? 0)) newest.set(row.seq, row);
  }
  return [...newest.values()];
}

/**
 * What is known by the rows of one frame, of which nothing is known from `edge` on. As long as it is not
 * known what the user may see, that is the messages alone, and nothing of what did not come.
 */
function intervalsOf(
  rows: readonly MessageRow[],
  epoch: number,
  edge: number,
  newestFirst: boolean,
): Interval[] {
  const [first, last] = [rows[0]!.seq, rows.at(-1)!.seq];
  if (epoch === UNKNOWN_EPOCH) return runsOf(rows.map(({ seq }) => seq));
  if (!newestFirst) return [{ from: edge, to: last }];
  return [{ from: last, to: edge === Infinity ? first : edge }];
}
