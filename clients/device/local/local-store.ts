import { damaged } from '../../backup/damaged.ts';
import {
  type ConversationChange,
  type ConversationRow,
  firstOf,
  keyOf,
  risen,
  type Told,
  UNKNOWN_EPOCH,
} from './conversation-row.ts';
import { added, type Interval, union } from './intervals.ts';
import {
  type ConversationName,
  exact,
  MESSAGE_COLUMNS,
  type MessageRow,
  rowOfValues,
  valuesOf,
} from './message.ts';
import type { Picked } from './pick.ts';
import type { Sqlite, Value } from './sqlite.ts';

/** How far messages go. */
export interface Reach {
  readonly count: number;
  /** Seq of the last; undefined where there is none. */
  readonly last: number | undefined;
}

/** Where messages are put in: a conversation as it stands in the same transaction. */
export type Placed = Pick<ConversationRow, 'id' | 'floor_seq'>;

/** Names of facts in the table `device`. */
export type Fact = 'owner' | 'lineage' | 'created_at_ms' | 'user_revision' | 'inbox' | 'writes';

/** Messages that one statement puts in, where there are so many: a third less work than one by one. */
const PUT_AT_ONCE = 10;

const MESSAGE_VALUES = '(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)';

const putMessages = (count: number) => `
  INSERT INTO message (conversation_id, ${MESSAGE_COLUMNS})
  VALUES ${Array(count).fill(MESSAGE_VALUES).join(', ')}
  ON CONFLICT DO UPDATE SET
    id = excluded.id, sender = excluded.sender, sent_at_ms = excluded.sent_at_ms, kinds = excluded.kinds,
    text = excluded.text, more = excluded.more, thread = excluded.thread,
    edited_at_ms = excluded.edited_at_ms, deleted_at_ms = excluded.deleted_at_ms,
    revision = excluded.revision, expires_at_ms = excluded.expires_at_ms
  WHERE excluded.revision >= revision`;

const PUT_ONE = putMessages(1);
const PUT_SOME = putMessages(PUT_AT_ONCE);

/** What the local database holds of conversations and messages: reads and writes of rows, and no more. */
export class LocalStore {
  /** The connection; a restored database has a new one. */
  sqlite: Sqlite;
  /** Whose device it is. */
  readonly owner: string;
  readonly #refuseWrites: () => void;

  /** `refuseWrites` fails while nothing is to be written, for it would be lost. */
  constructor(sqlite: Sqlite, owner: string, refuseWrites: () => void = () => {}) {
    this.sqlite = sqlite;
    this.owner = owner;
    this.#refuseWrites = refuseWrites;
  }

  /** As `write`; it is on the disk when this returns. */
  writeDurably<T>(work: () => T): T {
    return this.sqlite.durably(() => this.write(work));
  }

  /**
   * Does `work`, which may change something, in one transaction; one that does is counted. No process
   * that is killed takes it with it, but a computer that loses its power may: then it is fetched again.
   */
  write<T>(work: () => T): T {
    this.#refuseWrites();
    return this.sqlite.transaction(() => {
      const before = this.sqlite.changed;
      const result = work();
      if (this.sqlite.changed > before) {
        this.sqlite.run("UPDATE device SET value = value + 1 WHERE name = 'writes'");
      }
      return result;
    });
  }

  /** A fact of the database. */
  fact(name: Fact): Value | undefined {
    return this.sqlite.get('SELECT value FROM device WHERE name = ?', name)?.value;
  }

  /** Sets a fact. */
  setFact(name: Fact, value: Value): void {
    this.sqlite.run(
      'INSERT INTO device (name, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value',
      name,
      value,
    );
  }

  /** A setting of the app's own. */
  setting(name: string): string | undefined {
    const found = this.sqlite.get<{ value: string }>(
      'SELECT value FROM setting WHERE name = ?',
      name,
    );
    return found?.value;
  }

  /** Sets a setting of the app's own; undefined removes it. */
  setSetting(name: string, value: string | undefined): void {
    this.sqlite.run('DELETE FROM setting WHERE name = ?', name);
    if (value === undefined) return;
    this.sqlite.run('INSERT INTO setting (name, value) VALUES (?, ?)', name, value);
  }

  /** A conversation that something is known of. */
  conversation(name: ConversationName): ConversationRow | undefined {
    return this.sqlite.get(
      'SELECT * FROM conversation WHERE kind = ? AND name = ?',
      ...keyOf(name),
    );
  }

  /** A conversation by its id; DATABASE_DAMAGED where it does not stand in the table. */
  conversationOf(id: number): ConversationRow {
    const sql = 'SELECT * FROM conversation WHERE id = ?';
    const found = this.sqlite.get<ConversationRow>(sql, id);
    if (!found) throw damaged('The local database', 'a row is of no conversation');
    return found;
  }

  /** A conversation; from now on something is known of it. In a transaction. */
  ensureConversation(name: ConversationName): ConversationRow {
    const found = this.conversation(name);
    if (found) return found;
    this.sqlite.run(
      'INSERT INTO conversation (kind, name, epoch) VALUES (?, ?, ?)',
      ...[...keyOf(name), firstOf(name).epoch],
    );
    return this.conversation(name)!;
  }

  /** Changes columns of a conversation. */
  changeConversation(id: number, change: ConversationChange): void {
    const columns = Object.keys(change);
    if (columns.length === 0) return;
    const set = columns.map((column) => `${column} = ?`).join(', ');
    const differs = columns.map((column) => `${column} <> ?`).join(' OR ');
    const values = Object.values(change) as Value[];
    this.sqlite.run(
      `UPDATE conversation SET ${set} WHERE id = ? AND (${differs})`,
      ...[...values, id, ...values],
    );
  }

  /** Intervals that are completely known under a filter's key, without those known under ''. */
  known(id: number, key: string): Interval[] {
    return this.sqlite.all<{ from: number; to: number }>(
      `SELECT from_seq AS "from", to_seq AS "to" FROM known
       WHERE conversation_id = ? AND filter = ? ORDER BY from_seq`,
      id,
      key,
    );
  }

  /** Intervals that are completely known under one filter or another. */
  knownUnderAny(id: number): Interval[] {
    const all = this.sqlite.all<{ from: number; to: number }>(
      'SELECT from_seq AS "from", to_seq AS "to" FROM known WHERE conversation_id = ?',
      id,
    );
    return union([], all);
  }

  /** Notes that an interval is completely known; below 1 there is nothing to know. */
  addKnown(id: number, key: string, { from, to }: Interval): void {
    const interval = { from: Math.max(from, 1), to };
    if (interval.to < interval.from) return;
    const touching = this.sqlite.all<{ from: number; to: number }>(
      `SELECT from_seq AS "from", to_seq AS "to" FROM known
       WHERE conversation_id = ? AND filter = ? AND from_seq <= ? AND to_seq >= ? ORDER BY from_seq`,
      ...[id, key, interval.to + 1, interval.from - 1],
    );
    if (touching.some(({ from, to }) => from <= interval.from && to >= interval.to)) return;
    const [whole] = added(touching, interval);
    if (touching.length > 0) {
      this.sqlite.run(
        'DELETE FROM known WHERE conversation_id = ? AND filter = ? AND from_seq BETWEEN ? AND ?',
        ...[id, key, whole!.from, whole!.to],
      );
    }
    this.sqlite.run(
      'INSERT INTO known (conversation_id, filter, from_seq, to_seq) VALUES (?, ?, ?, ?)',
      ...[id, key, whole!.from, whole!.to],
    );
  }

  /**
   * Takes over what an answer tells, with which all came that is held where `alone`. Where the user may see
   * something else than when what is held was fetched, all of it is forgotten, and this gives false.
   */
  learn(id: number, told: Told, alone = false): boolean {
    let row = this.conversationOf(id);
    const kept = row.epoch === UNKNOWN_EPOCH || row.epoch === exact(told.epoch);
    if (!kept) {
      this.forget(id);
      row = this.conversationOf(id);
    }
    const revision = exact(told.revision);
    const toldRevision = Math.max(row.told_revision, revision);
    this.changeConversation(id, {
      epoch: exact(told.epoch),
      last_seq: Math.max(row.last_seq, exact(told.lastSeq)),
      told_seq: Math.max(row.told_seq, exact(told.lastSeq)),
      told_revision: toldRevision,
      // What holds nothing is right as of any revision.
      ...(alone ? { revision } : !this.holdsAny(id) && { revision: toldRevision }),
      ...risen(row, told),
    });
    if (told.floorSeq > row.floor_seq) this.raiseFloor(id, exact(told.floorSeq));
    return kept;
  }

  /**
   * Puts in messages with which `intervals` are known under a filter's key, and that are right at least
   * as of the revision `since`: a change after it may be missing from them.
   */
  land(
    conversation: Placed,
    rows: readonly MessageRow[],
    known: { readonly key: string; readonly intervals: readonly Interval[] },
    since: number,
  ): void {
    const { id } = conversation;
    this.putMessages(conversation, rows);
    for (const interval of known.intervals) this.addKnown(id, known.key, interval);
    const highest = rows.reduce((seq, row) => Math.max(seq, row.seq), 0);
    this.sqlite.run(
      `UPDATE conversation
       SET landings = landings + 1, revision = min(revision, ?), last_seq = max(last_seq, ?)
       WHERE id = ?`,
      ...[since, highest, id],
    );
  }

  /** Whether anything of a conversation's messages is held, under any filter. */
  holdsAny(id: number): boolean {
    return (
      this.sqlite.get('SELECT 1 FROM known WHERE conversation_id = ? LIMIT 1', id) !== undefined
    );
  }

  /**
   * Stores messages; one that stands there at a higher revision stays, and one below the floor was removed
   * while it was on its way. Gives how many changed a row.
   */
  putMessages({ id, floor_seq }: Placed, messages: readonly MessageRow[]): number {
    const rows = messages.filter(({ seq }) => seq >= floor_seq);
    let changed = 0;
    for (let at = 0; at < rows.length; ) {
      const some = rows.slice(at, at + (rows.length - at < PUT_AT_ONCE ? 1 : PUT_AT_ONCE));
      const values = some.flatMap((row) => [id, ...valuesOf(row)]);
      changed += this.sqlite.run(some.length === 1 ? PUT_ONE : PUT_SOME, ...values);
      at += some.length;
    }
    return changed;
  }

  /** At which revision a message stands there; undefined where none does. */
  revisionOf(id: number, seq: number): number | undefined {
    const found = this.sqlite.get<{ revision: number }>(
      'SELECT revision FROM message WHERE conversation_id = ? AND seq = ?',
      ...[id, seq],
    );
    return found?.revision;
  }

  /** Counts what was put in, so that what others have on its way is not taken for all. */
  countLanding(id: number): void {
    this.sqlite.run('UPDATE conversation SET landings = landings + 1 WHERE id = ?', id);
  }

  /** Removes single messages. */
  removeSeqs(id: number, seqs: Iterable<number>): void {
    for (const seq of seqs) {
      this.sqlite.run('DELETE FROM message WHERE conversation_id = ? AND seq = ?', id, seq);
    }
  }

  /** Notes that nothing below a seq is to be seen: what stands there is removed, and known not to be there. */
  raiseFloor(id: number, floorSeq: number): void {
    this.sqlite.run('DELETE FROM message WHERE conversation_id = ? AND seq < ?', id, floorSeq);
    this.addKnown(id, '', { from: 1, to: floorSeq - 1 });
    this.sqlite.run(
      'UPDATE conversation SET floor_seq = ? WHERE id = ? AND floor_seq < ?',
      ...[floorSeq, id, floorSeq],
    );
  }

  /** Forgets all messages of a conversation, and what is known of it: all is to be asked for again. */
  forget(id: number): void {
    this.sqlite.run('DELETE FROM message WHERE conversation_id = ?', id);
    this.sqlite.run('DELETE FROM known WHERE conversation_id = ?', id);
    this.sqlite.run('DELETE FROM file WHERE conversation_id = ?', id);
    this.sqlite.run(
      `UPDATE conversation
       SET last_seq = 0, told_seq = 0, floor_seq = 1, revision = 0, told_revision = 0,
         landings = landings + 1, forgets = forgets + 1
       WHERE id = ?`,
      id,
    );
  }

  /** Removes messages whose time has come, wherever they stand. */
  removeExpired(nowMs: number): number {
    this.sqlite.run('DELETE FROM outbox WHERE expires_at_ms > 0 AND expires_at_ms <= ?', nowMs);
    return this.sqlite.run(
      'DELETE FROM message WHERE expires_at_ms > 0 AND expires_at_ms <= ?',
      nowMs,
    );
  }

  /** Messages that match in an interval and have not expired, at most `count`, in either direction. */
  messages(
    id: number,
    interval: Interval,
    pick: Picked,
    options: { readonly falling: boolean; readonly count: number; readonly nowMs: number },
  ): MessageRow[] {
    const { sql, values } = select(MESSAGE_COLUMNS, id, interval, pick, options);
    return this.sqlite.arrays(sql, ...values).map(rowOfValues);
  }

  /** How many `messages` gives, and the seq of the last of them. */
  reach(...query: Parameters<LocalStore['messages']>): Reach {
    const { falling } = query[3];
    const { sql, values } = select('seq', ...query);
    const [found] = this.sqlite.arrays(
      `SELECT count(*), ${falling ? 'min' : 'max'}(seq) FROM (${sql})`,
      ...values,
    );
    const [count, last] = found as [number, number | null];
    return { count, last: last ?? undefined };
  }
}

function select(
  columns: string,
  id: number,
  { from, to }: Interval,
  pick: Picked,
  { falling, count, nowMs }: Parameters<LocalStore['messages']>[3],
): { sql: string; values: Value[] } {
  return {
    sql: `SELECT ${columns} FROM message${pick.indexed}
      WHERE conversation_id = ? AND seq BETWEEN ? AND ?${pick.and}
        AND (expires_at_ms = 0 OR expires_at_ms > ?)
      ORDER BY seq ${falling ? 'DESC' : 'ASC'} LIMIT ?`,
    values: [id, from, Math.min(to, Number.MAX_SAFE_INTEGER), ...pick.values, nowMs, count],
  };
}
