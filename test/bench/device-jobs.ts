/** A device's process: an app on the device SDK, and the same on its drivers alone. */
import { rm } from 'node:fs/promises';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import { Device } from '../../clients/device/index.ts';
import { PRAGMAS } from '../../clients/device/local/open.ts';
import { type Message, MessageSchema } from '../../clients/gen/backscroll/history/v1/message_pb.ts';
import { HistoryClient } from '../../clients/index.ts';
import type { ChatLine } from '../support/corpus.ts';
import { benchLines } from './lines.ts';
import { quantile, seconds } from './measure.ts';
import { serveJobs } from './worker.ts';

export type DeviceJobs = typeof jobs;

/** Messages that are received at once, as after a while without a connection. */
const receivedAtOnce = 100;

/** Messages that come in together while a large database is filled. */
const filledAtOnce = 2_000;

/** Pauses between writes beside a backup, in milliseconds. */
const pauseMs = 2;

let addresses: { readonly history: string; readonly backup: string };
let user: string;
let device: Device;
/** What the filled database receives, in the order of time. */
let arrivals: Arrivals;

const jobs = {
  async connect(history: string, backup: string, owner: string): Promise<void> {
    addresses = { history, backup };
    user = owner;
  },

  /** Reads the newest page of each group: by an empty device; milliseconds of each. */
  async firstPages(path: string, groups: readonly string[], count: number): Promise<number[]> {
    await remove(path);
    await using fresh = await open(path);
    const times: number[] = [];
    for (const group of groups) {
      let read = 0;
      const session = fresh.readSession({ group }, () => {
        read += 1;
      });
      times.push((await seconds(() => session.more(count))) * 1000);
      if (read !== count) throw new Error(`${read} messages of ${count} were read`);
    }
    return times;
  },

  /** The same pages from the client alone. */
  async barePages(groups: readonly string[], count: number): Promise<number[]> {
    using history = new HistoryClient(addresses.history);
    const times: number[] = [];
    for (const group of groups) {
      const page = () => history.sync({ user, group, count }).collect();
      times.push((await seconds(page)) * 1000);
    }
    return times;
  },

  /** Receives messages of ten conversations in pieces; seconds. */
  async receive(path: string, count: number): Promise<number> {
    await remove(path);
    await using fresh = await open(path);
    const pieces = piecesOf(count);
    return seconds(async () => {
      for (const { group, messages } of pieces) fresh.receive({ group }, messages);
    });
  },

  /** Inserts the same into the same table, in as many transactions; seconds. */
  async insert(path: string, count: number): Promise<number> {
    await remove(path);
    await (await open(path)).close();
    const pieces = piecesOf(count);
    using database = bareDatabase(path);
    const insert = database.prepare(
      `INSERT INTO message (conversation_id, seq, id, sender, sent_at_ms, kinds, text, more, thread,
         edited_at_ms, deleted_at_ms, revision, expires_at_ms)
       VALUES (?, ?, ?, ?, ?, 1, ?, NULL, '', 0, 0, 0, 0)`,
    );
    return seconds(async () => {
      for (const { group, messages } of pieces) {
        database.exec('BEGIN IMMEDIATE');
        for (const { seq, id, sender, sentAtMs, content } of messages) {
          const values = [Number(group), Number(seq), id, sender, Number(sentAtMs)] as const;
          insert.run(...values, content?.text ?? '');
        }
        database.exec('COMMIT');
      }
    });
  },

  /** Reads a conversation of a database that `receive` filled in steps of 100; milliseconds of each. */
  async readAll(path: string): Promise<number[]> {
    await using held = await open(path);
    let bytes = 0;
    const session = held.readSession({ group: '1' }, ({ text }) => {
      bytes += text.length;
    });
    const times: number[] = [];
    for (let read = 100; read === 100; ) {
      const began = performance.now();
      read = session.read(100);
      times.push(performance.now() - began);
    }
    if (bytes === 0) throw new Error('nothing was read');
    return times;
  },

  /** Reads the same rows by SQLite alone. */
  async selectAll(path: string): Promise<number[]> {
    using database = bareDatabase(path);
    const page = database.prepare(
      `SELECT seq, id, sender, sent_at_ms, kinds, text, more, thread, edited_at_ms, deleted_at_ms,
         revision, expires_at_ms
       FROM message WHERE conversation_id = 1 AND seq < ? ORDER BY seq DESC LIMIT 100`,
    );
    const times: number[] = [];
    let bytes = 0;
    for (let below = Number.MAX_SAFE_INTEGER; below > 0; ) {
      const began = performance.now();
      const rows = page.all(below);
      for (const { text } of rows) bytes += (text as string).length;
      times.push(performance.now() - began);
      below = rows.length < 100 ? 0 : (rows.at(-1)?.seq as number);
    }
    if (bytes === 0) throw new Error('nothing was read');
    return times;
  },

  /** Fills a device's database with what came to it in the order of time; gives how many messages. */
  async fill(path: string, bytes: number): Promise<number> {
    device = await open(path);
    arrivals = await Arrivals.open();
    let messages = 0;
    // What a message takes in the file, about: looked up every now and then.
    for (let size = 0; size < bytes; size = fileBytes(path)) {
      for (let n = 0; n < 25; n++) messages += receiveNext(filledAtOnce);
    }
    return messages;
  },

  /** Receives the next messages. */
  async receiveMore(count: number): Promise<void> {
    for (let left = count; left > 0; left -= filledAtOnce)
      receiveNext(Math.min(left, filledAtOnce));
  },

  /** Makes a backup in a file while single messages come, or waits as long; the p99 of their times, in milliseconds. */
  async writeBeside(
    path: string | null,
    forSeconds: number,
  ): Promise<{ p99: number; seconds: number }> {
    const times: number[] = [];
    let ended = false;
    const beside = path === null ? delay(forSeconds * 1000) : device.backupDatabase(path);
    const began = performance.now();
    void beside.finally(() => {
      ended = true;
    });
    while (!ended) {
      const arrival = arrivals.next(1);
      const before = performance.now();
      for (const [group, messages] of arrival) device.receive({ group }, messages);
      times.push(performance.now() - before);
      await delay(pauseMs);
    }
    if ((await beside) === null) throw device.lastError;
    return { p99: quantile(times, 0.99), seconds: (performance.now() - began) / 1000 };
  },

  /** Uploads the filled database. */
  async upload(): Promise<void> {
    await device.uploadBackup();
  },

  /** Lets go of the filled database. */
  async closeDevice(): Promise<void> {
    await device.close();
  },
};

function open(path: string): Promise<Device> {
  return Device.open({ database: path, user, ...addresses });
}

/** A connection as the SDK's own. */
function bareDatabase(path: string): DatabaseSync {
  const database = new DatabaseSync(path);
  database.exec(PRAGMAS);
  return database;
}

async function remove(path: string): Promise<void> {
  for (const part of ['', '-wal', '-shm']) await rm(`${path}${part}`, { force: true });
}

function fileBytes(path: string): number {
  using database = new DatabaseSync(path, { readOnly: true });
  const { bytes } = database
    .prepare('SELECT page_count * page_size AS bytes FROM pragma_page_count, pragma_page_size')
    .get() as { bytes: number };
  return bytes;
}

/** Messages of ten groups by turns, in pieces of one group each. */
function piecesOf(count: number): { group: string; messages: Message[] }[] {
  return Array.from({ length: count / receivedAtOnce }, (_, piece) => ({
    group: String((piece % 10) + 1),
    messages: Array.from({ length: receivedAtOnce }, (_, n) => {
      const seq = Math.floor(piece / 10) * receivedAtOnce + n + 1;
      const text = `message ${seq}, as long as what people say to one another on most days`;
      return messageOf(seq, `message-${piece}-${n}`, `person ${n % 7}`, 1.6e12 + seq, text);
    }),
  }));
}

function messageOf(
  seq: number,
  id: string,
  sender: string,
  sentAtMs: number,
  text: string,
): Message {
  return create(MessageSchema, {
    ...{ seq: BigInt(seq), id, sender, sentAtMs: BigInt(sentAtMs), content: { text } },
  });
}

function receiveNext(count: number): number {
  for (const [group, messages] of arrivals.next(count)) device.receive({ group }, messages);
  return count;
}

/** Chat lines in the order of their times, over and over, as messages of groups. */
class Arrivals {
  readonly #lines: readonly ChatLine[];
  readonly #seqs = new Map<string, number>();
  #at = 0;

  private constructor(lines: readonly ChatLine[]) {
    this.#lines = lines;
  }

  static async open(): Promise<Arrivals> {
    const lines: ChatLine[] = [];
    for await (const line of benchLines()) {
      lines.push(line);
      if (lines.length === 400_000) break;
    }
    return new Arrivals(lines.toSorted((a, b) => a.sent_at_ms - b.sent_at_ms));
  }

  /** The next messages, by their groups. */
  next(count: number): Map<string, Message[]> {
    const next = new Map<string, Message[]>();
    for (let n = 0; n < count; n++) {
      const round = Math.floor(this.#at / this.#lines.length);
      const line = this.#lines[this.#at++ % this.#lines.length]!;
      const seq = (this.#seqs.get(line.conversation) ?? 0) + 1;
      this.#seqs.set(line.conversation, seq);
      const { conversation, id, sender, sent_at_ms, text } = line;
      const message = messageOf(seq, `${id}.${round}`, sender, sent_at_ms, text);
      const messages = next.get(conversation);
      if (messages) messages.push(message);
      else next.set(conversation, [message]);
    }
    return next;
  }
}

serveJobs(jobs);
