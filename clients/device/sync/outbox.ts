import { create, toBinary } from '@bufbuild/protobuf';
import { BackscrollError, isReason } from '../../errors.ts';
import type { AppendedMessage } from '../../gen/backscroll/history/v1/history_pb.ts';
import { type Message, MessageSchema } from '../../gen/backscroll/history/v1/message_pb.ts';
import type { MessageInit } from '../../history/history-requests.ts';
import { uuidv7 } from '../../uuid.ts';
import { checkConversationName, checkMessage, invalid } from '../local/checks.ts';
import { type ConversationRow, isForgottenSince, nameOf } from '../local/conversation-row.ts';
import { decoded } from '../local/decoded.ts';
import { type Interval, runsOf, stretchBelow } from '../local/intervals.ts';
import type { LocalStore } from '../local/local-store.ts';
import { type ConversationName, exact, type MessageRow, rowOf, safe } from '../local/message.ts';
import type { Value } from '../local/sqlite.ts';
import { failureOf, type OutboxRow } from '../local/waiting.ts';

/** A conversation in which messages wait. */
export interface WaitingIn {
  readonly conversationId: number;
  /** The last of them. */
  readonly upTo: number;
}

/** A message that is on its way. */
export interface Entry {
  /** Its row of the outbox. */
  readonly id: number;
  readonly message: Message;
}

/** Told each message that is refused for good, once. */
export type OnFailed = (id: string, error: BackscrollError, conversation: ConversationName) => void;

/** The next messages of one conversation, in order, as many as one call takes. */
export interface Batch {
  /** As it stood before they were sent. */
  readonly conversation: ConversationRow;
  /** At least one. */
  readonly entries: readonly Entry[];
}

/** Messages of one call, at most: what a lost answer sends once more. */
export const BATCH_MESSAGES = 100;

/** Bytes of one call, at most: what the service takes. */
const BATCH_BYTES = 900 * 1024;

/** What the user said and the service does not have yet. */
export class Outbox {
  readonly #store: LocalStore;

  constructor(store: LocalStore) {
    this.#store = store;
  }

  /**
   * Puts a message in; gives its id. It is durable when this returns. Fails with INVALID_ARGUMENT for
   * what the service would never take.
   */
  add(name: ConversationName, init: MessageInit, nowMs: number): string {
    checkConversationName(name);
    const { message, body } = encoded({
      id: init.id || uuidv7(nowMs),
      sender: this.#store.owner,
      sentAtMs: init.sentAtMs || BigInt(nowMs),
      expiresAtMs: init.expiresAtMs ?? 0n,
      content: init.content ?? {},
    });
    checkMessage(message, body.length);
    return this.#store.writeDurably(() => {
      const { id, listed, last_at_ms } = this.#store.ensureConversation(name);
      this.#store.changeConversation(id, {
        listed: listed || 1,
        last_at_ms: Math.max(last_at_ms, nowMs),
      });
      this.#store.sqlite.run(
        `INSERT INTO outbox (conversation_id, message_id, created_at_ms, expires_at_ms, body)
         VALUES (?, ?, ?, ?, ?)`,
        ...[id, message.id, nowMs, safe(message.expiresAtMs), body],
      );
      return message.id;
    });
  }

  /** Lets a message that was refused wait again, in its old place. Gives whether there was one. */
  retry(name: ConversationName, messageId: string): boolean {
    return this.#changeRefused('UPDATE outbox SET failure = NULL', name, messageId);
  }

  /** Removes a message that was refused. Gives whether there was one. */
  discard(name: ConversationName, messageId: string): boolean {
    return this.#changeRefused('DELETE FROM outbox', name, messageId);
  }

  /** Conversations in which messages wait, in the order of the oldest. */
  waiting(): WaitingIn[] {
    return this.#store.sqlite.all<{ conversationId: number; upTo: number }>(
      `SELECT conversation_id AS conversationId, max(id) AS upTo FROM outbox
       WHERE failure IS NULL GROUP BY conversation_id ORDER BY min(id)`,
    );
  }

  /**
   * What is to be sent next of what waits, at most `most` messages; undefined where nothing does. One that
   * can't be read is refused here, and keeps none of the others waiting; nor do those of no conversation,
   * of which it fails with DATABASE_DAMAGED once.
   */
  next(waiting: WaitingIn, most: number, onFailed: OnFailed): Batch | undefined {
    for (;;) {
      const rows = this.#nextRows(waiting, most);
      if (rows.length === 0) return undefined;
      const conversation = this.#conversationOf(rows);
      const entries = rows.flatMap((row) => this.#entry(row, conversation, onFailed));
      if (entries.length > 0) return { conversation, entries };
    }
  }

  #nextRows({ conversationId, upTo }: WaitingIn, most: number): OutboxRow[] {
    const { sqlite } = this.#store;
    const sizes = sqlite.all<{ id: number; bytes: number }>(
      `SELECT id, length(body) AS bytes FROM outbox
       WHERE conversation_id = ? AND id <= ? AND failure IS NULL ORDER BY id LIMIT ?`,
      ...[conversationId, upTo, most],
    );
    if (sizes.length === 0) return [];
    return sqlite.all<OutboxRow>(
      `SELECT * FROM outbox WHERE conversation_id = ? AND id <= ? AND failure IS NULL ORDER BY id`,
      ...[conversationId, lastFitting(sizes)],
    );
  }

  #conversationOf(rows: readonly OutboxRow[]): ConversationRow {
    const found = orDamaged(() => this.#store.conversationOf(rows[0]!.conversation_id));
    if (!(found instanceof BackscrollError)) return found;
    for (const { id } of rows) this.refuse(id, found);
    throw found;
  }

  #entry(
    { id, message_id, body }: OutboxRow,
    conversation: ConversationRow,
    onFailed: OnFailed,
  ): Entry[] {
    const message = orDamaged(() => decoded(MessageSchema, body));
    if (!(message instanceof BackscrollError)) return [{ id, message }];
    if (this.refuse(id, message)) onFailed(message_id, message, nameOf(conversation));
    return [];
  }

  /**
   * Seqs of messages that had been stored before, and may have been edited or deleted since: only the
   * service can tell how they now stand.
   */
  doubtful(batch: Batch, places: readonly AppendedMessage[]): Interval[] {
    const row = this.#store.conversationOf(batch.conversation.id);
    const known = this.#store.known(row.id, '');
    const seqs = places
      .filter((place) => !isCertain(batch, row, place))
      .map(({ seq }) => exact(seq));
    return runsOf(seqs.filter((seq) => !stretchBelow(known, seq).held));
  }

  /**
   * Moves messages that the service has to where all others stand, but leaves doubtful ones for a
   * fetch. Gives those that were still here: another process may have moved the rest.
   */
  move(batch: Batch, places: readonly AppendedMessage[]): MessageRow[] {
    const store = this.#store;
    const { id, told_revision } = batch.conversation;
    return store.write(() => {
      const row = store.conversationOf(id);
      const known = store.known(id, '');
      const rows = batch.entries.map(({ message }, index) => {
        const { seq, sentAtMs } = places[index]!;
        return rowOf({ ...message, seq, sentAtMs }, store.owner);
      });
      const here = rows.filter((_, index) => {
        return store.sqlite.run('DELETE FROM outbox WHERE id = ?', batch.entries[index]!.id) > 0;
      });
      const landing = rows.filter(
        ({ seq }, index) => isCertain(batch, row, places[index]!) && !stretchBelow(known, seq).held,
      );
      const intervals = runsOf(landing.map(({ seq }) => seq));
      if (landing.length > 0) store.land(row, landing, { key: '', intervals }, told_revision);
      raiseOwn(store, row, rows);
      return here;
    });
  }

  /** Notes that the service refused a message for good. Gives whether it waited until now. */
  refuse(id: number, error: BackscrollError): boolean {
    return this.#change(
      'UPDATE outbox SET failure = ? WHERE id = ? AND failure IS NULL',
      ...[failureOf(error), id],
    );
  }

  #changeRefused(change: string, name: ConversationName, messageId: string): boolean {
    checkConversationName(name);
    const conversation = this.#store.conversation(name);
    if (!conversation) return false;
    return this.#change(
      `${change} WHERE conversation_id = ? AND message_id = ? AND failure IS NOT NULL`,
      ...[conversation.id, messageId],
    );
  }

  /** Runs a statement in a transaction of its own; gives whether it changed a row. */
  #change(sql: string, ...values: Value[]): boolean {
    return this.#store.write(() => this.#store.sqlite.run(sql, ...values) > 0);
  }
}

/**
 * Whether a message stands in the conversation as it was sent: one that had been stored before may have
 * changed since.
 */
function isCertain(
  { conversation: before }: Batch,
  now: ConversationRow,
  { repeated }: AppendedMessage,
): boolean {
  return !repeated && !isForgottenSince(before, now);
}

/** What the user said raises their own marks, as it does in the service. */
function raiseOwn(store: LocalStore, row: ConversationRow, rows: readonly MessageRow[]): void {
  const newest = rows.reduce((a, b) => (b.seq > a.seq ? b : a));
  const { seq } = newest;
  store.changeConversation(row.id, {
    listed: 1,
    last_seq: Math.max(row.last_seq, seq),
    last_at_ms: seq > row.last_seq ? newest.sent_at_ms : row.last_at_ms,
    read_seq: Math.max(row.read_seq, seq),
    delivered_seq: Math.max(row.delivered_seq, seq),
    told_read_seq: Math.max(row.told_read_seq, seq),
    told_delivered_seq: Math.max(row.told_delivered_seq, seq),
  });
}

/** What `work` gives, or that it came upon a damaged database. */
function orDamaged<T>(work: () => T): T | BackscrollError {
  try {
    return work();
  } catch (error) {
    if (!isReason(error, 'DATABASE_DAMAGED')) throw error;
    return error;
  }
}

/** Fails with INVALID_ARGUMENT, reason INVALID_FIELD, where a value is not of its field's type. */
function encoded(init: MessageInit): { message: Message; body: Uint8Array } {
  try {
    const message = create(MessageSchema, init);
    return { message, body: toBinary(MessageSchema, message) };
  } catch (error) {
    throw invalid('INVALID_FIELD', 'message', (error as Error).message);
  }
}

/** The last of the first rows that fit in one call together: at least the first. */
function lastFitting([first, ...others]: readonly { id: number; bytes: number }[]): number {
  let { id: last, bytes: total } = first!;
  for (const { id, bytes } of others) {
    total += bytes;
    if (total > BATCH_BYTES) break;
    last = id;
  }
  return last;
}
