/** The baseline's process: the drivers alone, on the same servers, for the same work. */
import { randomBytes, randomUUID } from 'node:crypto';
import { createReadStream, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Client } from 'minio';
import { type Connection, createConnection, type FieldPacket } from 'mysql2/promise';
import { pageDigests } from '../../clients/format/digests.ts';
import { group } from '../../services/history/domain/conversation.ts';
import { CONVERSATION_COLUMNS, MEMBER_COLUMNS } from '../../services/history/store/standing.ts';
import { minioClient } from '../support/minio.ts';
import { seconds } from './measure.ts';
import { serveJobs } from './worker.ts';

export type BareJobs = typeof jobs;

/** Rows of a statement: the fastest of 250 to 2,500, as text and prepared, by a little. */
const insertRows = 500;

const bucket = 'bare';

let url: string;
let mysql: Connection;
const connections: Connection[] = [];
let minio: Client;
const known = new Set<string>();

const jobs = {
  /** Connects with one connection to either server. */
  async connect(mysqlUrl: string, minioUrl: string): Promise<void> {
    url = mysqlUrl;
    mysql = await createConnection({
      uri: mysqlUrl,
      rowsAsArray: true,
      supportBigNumbers: true,
    });
    minio = minioClient(minioUrl);
    if (!(await minio.bucketExists(bucket))) await minio.makeBucket(bucket);
  },

  /** Reads the newest messages of the longest conversation in keyset pages of 500; seconds. */
  async readNewest(count: number): Promise<number> {
    const conversation = await longestConversation();
    return seconds(async () => {
      let before = Number.MAX_SAFE_INTEGER;
      for (let left = count; left > 0; ) {
        const rows = await readPage(conversation, before, 500);
        left -= rows.length;
        before = rows.at(-1)?.[0] as number;
      }
    });
  },

  /** Reads a page of 50 of the longest conversation below each seq; milliseconds of each. */
  async readPages(beforeSeqs: readonly number[]): Promise<number[]> {
    const conversation = await longestConversation();
    const times: number[] = [];
    for (const before of beforeSeqs) {
      times.push((await seconds(() => readPage(conversation, before, 50))) * 1000);
    }
    return times;
  },

  /**
   * Stores the messages of all conversations that are new since the last call once more, under other
   * conversation ids: the same rows, in multi-row INSERTs, a transaction for each run. Seconds.
   */
  async insertAgain(runMessages: number): Promise<number> {
    const runs: unknown[][][] = [];
    for (const conversation of await newConversations()) {
      runs.push(...pieces(await readRows(conversation), runMessages));
    }
    return seconds(async () => {
      for (const rows of runs) {
        await mysql.beginTransaction();
        for (const piece of pieces(rows, insertRows)) await insert(piece);
        await mysql.commit();
      }
    });
  },

  /**
   * Reads pages of 50 messages with files of the longest conversation below each seq: their seqs by the
   * index of kinds, then their rows; milliseconds of each.
   */
  async readFilePages(beforeSeqs: readonly number[]): Promise<number[]> {
    const conversation = await longestConversation();
    const times: number[] = [];
    for (const before of beforeSeqs) {
      times.push((await seconds(() => readFilePage(conversation, before))) * 1000);
    }
    return times;
  },

  /**
   * Appends messages one by one to groups that have begun: the statements of one `Append`, on
   * a connection for each writer; seconds.
   */
  async appendSingly(groups: readonly string[], writers: number, count: number): Promise<number> {
    const ids = groups.map((name) => group(name).id);
    while (connections.length < writers) connections.push(await connection(url));
    let next = 0;
    const write = async (writer: number) => {
      for (let n = next++; n < count; n = next++) {
        await appendOne(connections[writer]!, ids[writer % ids.length]!, writer, n);
      }
    };
    return seconds(() => Promise.all(Array.from({ length: writers }, (_, n) => write(n))));
  },

  /** Remembers all conversations that there are. */
  async knowConversations(): Promise<void> {
    await newConversations();
  },

  /** Stores a file as one object, a stream of known size; seconds. */
  async putFile(path: string, key: string): Promise<number> {
    return seconds(() => {
      const file = createReadStream(path, { highWaterMark: 256 * 1024 });
      return minio.putObject(bucket, key, file, statSync(path).size);
    });
  },

  /** Writes an object into a file; seconds. */
  async getFile(key: string, path: string): Promise<number> {
    return seconds(() => minio.fGetObject(bucket, key, path));
  },

  /** Hashes a file page by page, in one pass; seconds. */
  async hashPages(path: string, pageBytes: number): Promise<number> {
    return seconds(async () => {
      await using file = await open(path);
      const pages = Buffer.allocUnsafeSlow(1024 * 1024);
      for (;;) {
        const { bytesRead } = await file.read(pages);
        if (bytesRead === 0) return;
        pageDigests(pages.subarray(0, bytesRead), pageBytes);
      }
    });
  },

  async removeFile(key: string): Promise<void> {
    await minio.removeObject(bucket, key);
  },
};

async function readPage(conversation: Buffer, before: number, count: 50 | 500) {
  const [rows] = await mysql.execute({
    sql: `SELECT seq, edited_at_ms, deleted_at_ms, revision, body FROM message
      WHERE conversation_id = ? AND seq < ? ORDER BY seq DESC LIMIT ${count}`,
    values: [conversation, before],
  });
  return rows as unknown[][];
}

const FILE_KINDS = [2, 3];

async function readFilePage(conversation: Buffer, before: number): Promise<unknown[][]> {
  const [found] = await mysql.query(
    FILE_KINDS.map(
      () =>
        '(SELECT seq FROM message WHERE conversation_id = ? AND kinds = ? AND seq < ? ORDER BY seq DESC LIMIT 50)',
    ).join(' UNION ALL '),
    FILE_KINDS.flatMap((kinds) => [conversation, kinds, before]),
  );
  const seqs = (found as [number][]).map(([seq]) => seq).sort((a, b) => b - a);
  const [rows] = await mysql.query(
    `SELECT seq, edited_at_ms, deleted_at_ms, revision, body FROM message
     WHERE conversation_id = ? AND seq IN (?)`,
    [conversation, seqs.slice(0, 50)],
  );
  return rows as unknown[][];
}

/** The statements of one `Append`: the lock, the message, its sender's marks, the conversation's end. */
async function appendOne(
  session: Connection,
  id: Buffer,
  writer: number,
  n: number,
): Promise<void> {
  const sender = Buffer.from(`writer ${writer}`);
  const [rows] = await session.execute(
    `SELECT ${CONVERSATION_COLUMNS}, ${MEMBER_COLUMNS} FROM conversation
     LEFT JOIN member ON member.conversation_id = conversation.conversation_id
       AND member.user_name IN (?, ?)
     WHERE conversation.conversation_id = ? FOR UPDATE`,
    [sender, sender, id],
  );
  const seq = (rows as [number][])[0]![0] + 1;
  const text = Buffer.from(`message ${n}, singly, as long as it is when it is encoded`);
  await session.execute(
    `INSERT INTO message
     (conversation_id, seq, message_id, sender, sent_at_ms, content_hash, body, kinds)
     VALUES (?, ?, ?, ?, ?, ?, ?, 1)`,
    [id, seq, Buffer.from(randomUUID()), sender, Date.now(), randomBytes(16), text],
  );
  await session.execute(
    `UPDATE member SET read_seq = ?, delivered_seq = ?
     WHERE conversation_id = ? AND user_name = ?`,
    [seq, seq, id, sender],
  );
  await session.execute(
    `UPDATE conversation SET last_seq = ?, last_sent_at_ms = ?, appended_at_ms = ?,
       imported_from_seq = ?, expiring = ?, member_count = ?, incomplete = 0
     WHERE conversation_id = ?`,
    [seq, Date.now(), Date.now(), 0, 0, 1, id],
  );
  await session.query('COMMIT');
}

/** A connection on which the first statement begins a transaction. */
async function connection(uri: string): Promise<Connection> {
  const opened = await createConnection({ uri, rowsAsArray: true });
  await opened.query("SET SESSION autocommit = 0, transaction_isolation = 'READ-COMMITTED'");
  return opened;
}

async function longestConversation(): Promise<Buffer> {
  const [rows] = await mysql.query(
    'SELECT conversation_id FROM conversation ORDER BY last_seq DESC LIMIT 1',
  );
  return (rows as [Buffer][])[0]![0];
}

async function newConversations(): Promise<Buffer[]> {
  const [rows] = await mysql.query('SELECT conversation_id FROM conversation');
  const found = (rows as [Buffer][])
    .map(([id]) => id)
    .filter((id) => !known.has(id.toString('hex')));
  for (const id of found) known.add(id.toString('hex'));
  return found;
}

let columns = '';

/** All columns of a conversation's messages, under a new conversation id. */
async function readRows(conversation: Buffer): Promise<unknown[][]> {
  const [rows, fields]: [unknown, FieldPacket[]] = await mysql.query(
    'SELECT * FROM message WHERE conversation_id = ? ORDER BY seq',
    [conversation],
  );
  columns = fields.map((field) => field.name).join(', ');
  const copy = randomBytes(16);
  const id = fields.findIndex((field) => field.name === 'conversation_id');
  return (rows as unknown[][]).map((row) => row.with(id, copy));
}

function pieces<T>(list: readonly T[], length: number): T[][] {
  const count = Math.ceil(list.length / length);
  return Array.from({ length: count }, (_, i) => list.slice(i * length, (i + 1) * length));
}

async function insert(rows: readonly unknown[][]): Promise<void> {
  await mysql.query(`INSERT INTO message (${columns}) VALUES ?`, [rows]);
}

serveJobs(jobs);
