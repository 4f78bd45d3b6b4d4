import { DatabaseSync } from 'node:sqlite';
import type { ChatLine } from './corpus.ts';
import type { Random } from './random.ts';

/** A chat app's local database, as it was left. */
export interface ChatDatabase {
  /** Messages added by this call. */
  readonly messages: number;
  readonly sizeBytes: number;
}

/**
 * Builds the SQLite database that a chat app would hold after receiving these messages: conversations,
 * messages in ascending order, and the indexes that its views need. Takes lines until the file is to
 * have `sizeBytes` (it gets a little more) or they end, and leaves the rest of them for another call;
 * `endlessly` makes lines that do not end. There must be no file at `path`.
 */
export async function buildChatDatabase(
  path: string,
  lines: AsyncIterator<ChatLine>,
  sizeBytes: number,
): Promise<ChatDatabase> {
  using database = open(path);
  database.exec(`
    CREATE TABLE conversations (
      id INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, last_message INTEGER,
      UNIQUE (kind, name));
    CREATE TABLE messages (
      id INTEGER PRIMARY KEY, conversation INTEGER NOT NULL REFERENCES conversations,
      message_id TEXT NOT NULL, sender TEXT NOT NULL, sent_at_ms INTEGER NOT NULL,
      status INTEGER NOT NULL DEFAULT 0, text TEXT NOT NULL);
    CREATE UNIQUE INDEX messages_by_id ON messages (conversation, message_id);
    CREATE INDEX messages_by_time ON messages (conversation, sent_at_ms);`);
  return await insert(
    database,
    lines,
    (messages) => messages % 1_000 === 0 && size(database) >= sizeBytes,
  );
}

/** Adds `count` messages to a database that `buildChatDatabase` made, as an app that received them. */
export async function appendToChatDatabase(
  path: string,
  lines: AsyncIterator<ChatLine>,
  count: number,
): Promise<ChatDatabase> {
  using database = open(path);
  return await insert(database, lines, (messages) => messages === count);
}

/** Gives `count` messages of such a database, drawn at random, another status; one may be drawn twice. */
export function changeStatuses(path: string, random: Random, count: number): void {
  using database = open(path);
  const last = lastId(database);
  const change = database.prepare('UPDATE messages SET status = status + 1 WHERE id = ?');
  database.exec('BEGIN');
  for (let i = 0; i < count; i++) change.run(random.between(1, last));
  database.exec('COMMIT');
}

/** Gives the newest `count` messages of such a database another status. */
export function changeNewestStatuses(path: string, count: number): void {
  using database = open(path);
  const change = database.prepare('UPDATE messages SET status = status + 1 WHERE id > ?');
  change.run(lastId(database) - count);
}

/**
 * The lines that `source` gives, over and over, each time as other conversations with other message
 * ids, and without exact repeats. The lines of a conversation stand together.
 */
export async function* endlessly(source: () => AsyncIterable<ChatLine>): AsyncGenerator<ChatLine> {
  for (let round = 1; ; round++) {
    let conversation: string | undefined;
    let ids = new Set<string>();
    for await (const line of source()) {
      if (conversation !== line.conversation) {
        conversation = line.conversation;
        ids = new Set();
      }
      if (ids.has(line.id)) continue;
      ids.add(line.id);
      yield round === 1 ? line : renamed(line, ` ${round}`);
    }
    if (conversation === undefined) return;
  }
}

/** The line as one of another conversation, with other people and another id: all end with `suffix`. */
export function renamed(line: ChatLine, suffix: string): ChatLine {
  const rename = (name: string) => name + suffix;
  return {
    ...line,
    conversation: line.conversation.split('|').map(rename).join('|'),
    sender: line.sender === '' ? '' : rename(line.sender),
    id: rename(line.id),
  };
}

function open(path: string): DatabaseSync {
  const database = new DatabaseSync(path);
  database.exec('PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -65536');
  return database;
}

function lastId(database: DatabaseSync): number {
  return (database.prepare('SELECT max(id) AS last FROM messages').get() as { last: number }).last;
}

function size(database: DatabaseSync): number {
  const { page_count } = database.prepare('PRAGMA page_count').get() as { page_count: number };
  const { page_size } = database.prepare('PRAGMA page_size').get() as { page_size: number };
  return page_count * page_size;
}

async function insert(
  database: DatabaseSync,
  lines: AsyncIterator<ChatLine>,
  enough: (messages: number) => boolean,
): Promise<ChatDatabase> {
  const add = database.prepare(
    'INSERT INTO messages (conversation, message_id, sender, sent_at_ms, text) VALUES (?, ?, ?, ?, ?)',
  );
  const enter = database.prepare('INSERT OR IGNORE INTO conversations (kind, name) VALUES (?, ?)');
  const find = database.prepare('SELECT id FROM conversations WHERE kind = ? AND name = ?');
  const leave = database.prepare(
    'UPDATE conversations SET last_message = (SELECT max(id) FROM messages) WHERE id = ?',
  );
  let open: { name: string; id: number } | undefined;
  let messages = 0;
  database.exec('BEGIN');
  while (!enough(messages)) {
    const { done, value: line } = await lines.next();
    if (done) break;
    if (open?.name !== line.conversation) {
      if (open) leave.run(open.id);
      enter.run(line.kind, line.conversation);
      const { id } = find.get(line.kind, line.conversation) as { id: number };
      open = { name: line.conversation, id };
    }
    add.run(open.id, line.id, line.sender, line.sent_at_ms, line.text);
    messages++;
  }
  if (open) leave.run(open.id);
  database.exec('COMMIT');
  return { messages, sizeBytes: size(database) };
}
