import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { create, toBinary } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Device, RESTORE } from '../../clients/device/index.ts';
import { BackscrollError } from '../../clients/errors.ts';
import { ProfileSchema } from '../../clients/gen/backscroll/history/v1/directory_pb.ts';
import { messagesOf } from '../support/device-messages.ts';
import { openAlone, stampOf } from './device-at-rest.ts';
import { DeviceHarness, Reader } from './device-harness.ts';

const bob = { peer: 'bob' };
let folder: string;
let backup: Buffer;
let device: Device;
let path: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'backscroll-content-'));
  const source = join(folder, 'source.db');
  {
    await using old = await openAlone(source);
    old.receive(bob, messagesOf(1, 10));
    old.receive({ group: 'choir' }, messagesOf(5, 2));
    old.append(bob, { content: { text: 'waits', thread: 'thread' } });
    old.append({ peer: 'ana' }, { content: { files: [{ url: 'https://a.example/b' }] } });
  }
  alter(source, EVERYTHING);
  const body = toBinary(ProfileSchema, create(ProfileSchema, { user: 'bob', updatedAtMs: 7n }));
  bind(source, "INSERT INTO profile VALUES ('bob', 7, 9, ?)", body);
  backup = readFileSync(source);
  path = join(folder, 'device.db');
  device = await openAlone(path);
  device.receive(bob, messagesOf(1, 3));
});

afterAll(async () => {
  await device.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A row of each kind that `append` and `receive` leave none of. */
const EVERYTHING = `
  INSERT INTO device VALUES ('inbox', '{"whole":1,"rest":"","begun":3,"finished":2}');
  INSERT INTO setting VALUES ('theme', 'dark');
  INSERT INTO known VALUES (1, '1:', 100, 120);
  INSERT INTO known VALUES (1, '1:', 122, 130);
  INSERT INTO file VALUES (1, 1, 0, 'key', lower(hex(zeroblob(32))), NULL);
  INSERT INTO file VALUES (1, 1, 1, 'key', NULL, 'FILE_GONE');
  UPDATE message SET more = x'', sent_at_ms = -1, kinds = 63 WHERE seq = 3`;

function alter(file: string, sql: string): void {
  using database = new DatabaseSync(file);
  database.enableDefensive(false);
  database.exec(sql);
}

function bind(file: string, sql: string, value: Uint8Array): void {
  using database = new DatabaseSync(file);
  database.prepare(sql).run(value);
}

/** The backup in a file, changed. */
function altered(...steps: readonly string[]): string {
  const home = mkdtempSync(join(folder, 'given-'));
  const file = join(home, 'given.db');
  writeFileSync(file, backup);
  // A changed schema is known to the next connection.
  for (const sql of steps) alter(file, sql);
  return file;
}

const HUGE = '9007199254740992';
const GARBAGE = "x'0affffffff'";
const SHA256 = 'UPDATE file SET sha256';
const WRITABLE = 'PRAGMA writable_schema = ON;';

const fact = (name: string, value: string) =>
  `INSERT OR REPLACE INTO device VALUES ('${name}', ${value})`;

/** What leaves a database without a fact that a device relies upon. */
const WRONG_FACTS: readonly (readonly [name: string, sql: string])[] = [
  ...['owner', 'lineage', 'created_at_ms', 'user_revision', 'writes'].flatMap(
    (name) =>
      [
        [name, `DELETE FROM device WHERE name = '${name}'`],
        [name, fact(name, "x''")],
      ] as const,
  ),
  ...['created_at_ms', 'user_revision', 'writes'].flatMap((name) =>
    ['1.5', "'text'", '-1', HUGE, '9e999'].map((value) => [name, fact(name, value)] as const),
  ),
  ...["''", '5'].map((value) => ['owner', fact('owner', value)] as const),
  ...["''", '7', "'another'"].map((value) => ['lineage', fact('lineage', value)] as const),
  ...['5', "''", "'{'", "'null'", "'[]'", "x'00'"].map(
    (value) => ['inbox', fact('inbox', value)] as const,
  ),
  ...[
    '{"whole":1,"begun":1}',
    '{"whole":1.5,"begun":1,"finished":1}',
    '{"whole":1,"begun":-1,"finished":1}',
    '{"whole":1,"begun":1,"finished":"1"}',
    '{"whole":1,"rest":5,"begun":1,"finished":1}',
    '{"whole":1,"begun":9007199254740992,"finished":1}',
  ].map((value) => ['inbox', fact('inbox', `'${value}'`)] as const),
];

describe('restoreDatabase', () => {
  it('takes a backup with something in every table, as a device has written it', async () => {
    await using fresh = await openAlone(join(folder, 'fresh.db'));
    expect([await fresh.restoreDatabase(altered()), fresh.lastError]).toEqual([0, undefined]);
    expect(fresh.counts(bob)).toEqual({ stored: 10, unread: 10, waiting: 1 });
    expect(fresh.profile('bob')).toMatchObject({ updatedAtMs: 7 });
  });

  it.each([
    ...[
      ...['last_seq', 'told_seq', 'revision', 'told_revision', 'landings', 'read_seq', 'state'],
      ...['delivered_seq', 'told_read_seq', 'told_delivered_seq', 'peer_read_seq', 'round'],
      ...['peer_delivered_seq', 'unread_count', 'unread_from_seq', 'unread_to_seq', 'listed'],
    ].map((column) => ['conversation', column, '-1']),
    ...['epoch', 'round_seq'].map((column) => ['conversation', column, '-2']),
    ...['last_seq', 'epoch', 'revision', 'last_at_ms', 'landings', 'round', 'listed'].map(
      (column) => ['conversation', column, HUGE],
    ),
    ['conversation', 'floor_seq', '0'],
    ['conversation', 'kind', '3'],
    ['conversation', 'kind', '0'],
    ['conversation', 'id', `${HUGE} + id`],
    ['known', 'from_seq', '-from_seq'],
    ['known', 'to_seq', HUGE],
    ['message', 'seq', '-seq'],
    ['message', 'seq', `${HUGE} + seq`],
    ['message', 'revision', '-1'],
    ['message', 'kinds', '64'],
    ['message', 'sent_at_ms', HUGE],
    ['message', 'expires_at_ms', `-${HUGE}`],
    ['outbox', 'id', '-id'],
    ['outbox', 'created_at_ms', HUGE],
    ['sqlite_sequence', 'seq', '9223372036854775807'],
    ['sqlite_sequence', 'seq', "'many'"],
    ['profile', 'asked_at_ms', '-1'],
    ['profile', 'updated_at_ms', HUGE],
    ['file', 'position', '-1 - position'],
    ['file', 'seq', '0'],
  ])('refuses a backup in which %s.%s is %s', async (table, column, value) => {
    const told = await refused(altered(`UPDATE ${table} SET ${column} = ${value}`));
    expect(told).toMatch(new RegExp(`${table}: \\d+ rows? whose ${column} is out of bounds`));
  });

  it.each([
    ['outbox: 2 rows whose body is no Message', `UPDATE outbox SET body = ${GARBAGE}`],
    [
      'message: 1 row whose more is no Content',
      `UPDATE message SET more = ${GARBAGE} WHERE seq = 2`,
    ],
    ['profile: 1 row whose body is no Profile', `UPDATE profile SET body = ${GARBAGE}`],
    ['message: 12 rows whose more is too long', 'UPDATE message SET more = zeroblob(1048577)'],
    ['message: 2 rows of no conversation', 'UPDATE message SET conversation_id = 99 WHERE seq < 3'],
    ['known: 2 rows of no conversation', "UPDATE known SET conversation_id = 99 WHERE filter > ''"],
    ['outbox: 2 rows of no conversation', 'UPDATE outbox SET conversation_id = 99'],
    ['file: 2 rows of no conversation', 'UPDATE file SET conversation_id = 99'],
    [
      'known: 1 row that ends before it begins',
      'UPDATE known SET to_seq = 99 WHERE from_seq = 100',
    ],
    [
      'known: 1 row without a gap to the next',
      'UPDATE known SET to_seq = 121 WHERE from_seq = 100',
    ],
    [
      'known: 1 row without a gap to the next',
      'UPDATE known SET to_seq = 140 WHERE from_seq = 100',
    ],
    [
      "conversation: 1 row whose name is nobody's",
      "UPDATE conversation SET name = '' WHERE id = 1",
    ],
    [
      "conversation: 1 row whose name is nobody's",
      "UPDATE conversation SET name = replace(hex(zeroblob(64)), '0', 'é') WHERE id = 1",
    ],
    ['file: 1 row whose sha256 is none', `${SHA256} = '../../etc/passwd' WHERE position = 0`],
    [
      'file: 1 row whose sha256 is none',
      `${SHA256} = sha256 || char(0) || '/x' WHERE position = 0`,
    ],
    [
      'file: 2 rows with both a sha256 and a failure, or neither',
      "UPDATE file SET sha256 = NULL, failure = nullif(failure, 'FILE_GONE')",
    ],
    [
      'device: 1 row whose value has no room to count on',
      "UPDATE device SET value = 9007199254740991 WHERE name = 'writes'",
    ],
    [
      'device: 1 row whose value has no room to count on',
      "UPDATE device SET value = json_set(value, '$.begun', 9007199254740991) WHERE name = 'inbox'",
    ],
  ])('refuses a backup: %s', async (fault, sql) => {
    expect(await refused(altered(sql))).toContain(fault);
  });

  it('refuses a backup whose index lacks what its table has', async () => {
    const file = altered();
    const index = 'CREATE INDEX message_file ON message (conversation_id, seq) WHERE kinds & 2';
    alter(
      file,
      `${WRITABLE} UPDATE sqlite_schema SET sql = '${index}' || '56' WHERE name = 'message_file'`,
    );
    alter(file, 'UPDATE message SET kinds = 2');
    alter(
      file,
      `${WRITABLE} UPDATE sqlite_schema SET sql = '${index}' WHERE name = 'message_file'`,
    );
    expect(await refused(file)).toContain('message_file');
  });

  it.each(WRONG_FACTS)('refuses a backup that does not tell %s: %s', async (name, sql) => {
    expect(await refused(altered(sql), [RESTORE.damaged, RESTORE.notADeviceDatabase])).toMatch(
      new RegExp(`${name}$|the database is damaged`),
    );
  });
});

describe('Device.open', () => {
  it.each(WRONG_FACTS)('refuses a database that does not tell %s: %s', async (_, sql) => {
    const file = altered(sql);
    const before = readFileSync(file);
    const failure = await openAlone(file).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(BackscrollError);
    expect(['NOT_A_DEVICE_DATABASE', 'DATABASE_DAMAGED']).toContain(
      (failure as BackscrollError).reason,
    );
    expect(readFileSync(file).equals(before)).toBe(true);
  });
});

describe('a device whose database was damaged since', () => {
  it('sends all that waits but what can not be read', async () => {
    await using harness = await DeviceHarness.start();
    const database = harness.path();
    await using damaged = await harness.open('alice', database);
    const ids = ['one', 'two', 'three'].map((text) => damaged.append(bob, { content: { text } }));
    damaged.append({ peer: 'carl' }, { content: { text: 'lost' } });
    alter(database, `UPDATE outbox SET body = ${GARBAGE} WHERE id = 2`);
    alter(database, 'UPDATE outbox SET conversation_id = 99 WHERE id = 4');
    const failed: unknown[] = [];
    damaged.on('failed', (id, { reason }) => failed.push([id, reason]));
    await expect(damaged.flush()).rejects.toMatchObject({ reason: 'DATABASE_DAMAGED' });
    await damaged.flush();
    expect(failed).toEqual([[ids[1], 'DATABASE_DAMAGED']]);
    const reader = new Reader(damaged, { ...bob, order: 'oldest-first' });
    await reader.session.more(10);
    expect(reader.messages.map(({ id, text, status }) => [id, text, status])).toEqual([
      [ids[0], 'one', 'sent'],
      [ids[2], 'three', 'sent'],
      [ids[1], '', 'failed'],
    ]);
    expect(reader.messages[2]!.failure).toMatch(/^DATABASE_DAMAGED: /);
    expect(damaged.conversation(bob)?.lastMessage?.id).toBe(ids[1]);
    expect(damaged.retry(bob, ids[1]!)).toBe(true);
    await damaged.flush();
    expect(failed).toHaveLength(2);
    expect(damaged.discard(bob, ids[1]!)).toBe(true);
  });

  it('tells so of what it can not read', async () => {
    const file = altered();
    await using damaged = await openAlone(file);
    alter(file, `UPDATE message SET more = ${GARBAGE} WHERE seq = 2`);
    alter(file, `UPDATE profile SET body = ${GARBAGE}`);
    const told = expect.objectContaining({ reason: 'DATABASE_DAMAGED' });
    const reader = new Reader(damaged, { ...bob, order: 'oldest-first' });
    expect(reader.session.read(3)).toBe(3);
    expect(() => reader.messages[1]!.content).toThrow(told);
    expect(() => JSON.stringify(reader.messages[1])).toThrow(told);
    expect(() => damaged.profile('bob')).toThrow(told);
    alter(file, `UPDATE message SET sent_at_ms = ${HUGE} WHERE seq = 5`);
    expect(() => reader.session.read(3)).toThrow(told);
    alter(file, `UPDATE conversation SET last_seq = ${HUGE}`);
    expect(() => damaged.conversation(bob)).toThrow(told);
    alter(file, "UPDATE device SET value = '[' WHERE name = 'inbox'");
    await expect(damaged.refresh()).rejects.toThrow(told);
  });
});

/** What the file is refused with; it and the device's database stay as they were. */
async function refused(
  file: string,
  codes: readonly number[] = [RESTORE.damaged],
): Promise<string> {
  const [bytes, before] = [readFileSync(file), stampOf(path)];
  expect(codes).toContain(await device.restoreDatabase(file));
  expect(stampOf(path)).toBe(before);
  expect(readFileSync(file).equals(bytes)).toBe(true);
  expect(device.counts(bob).stored).toBe(3);
  const { lastError } = device;
  expect(lastError).toMatchObject({
    name: 'BackscrollError',
    reason: expect.stringMatching(/^(DATABASE_DAMAGED|NOT_A_DEVICE_DATABASE)$/),
  });
  expect(lastError?.message.startsWith(file)).toBe(true);
  return lastError!.message;
}
