import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Device, RESTORE } from '../../clients/device/index.ts';
import { BackscrollError } from '../../clients/errors.ts';
import { corpusFolder, readTarGz } from '../support/corpus.ts';
import { messagesOf } from '../support/device-messages.ts';
import { Random } from '../support/random.ts';
import { badDatabases, goodDatabases } from '../support/small-databases.ts';
import { openAlone, stampOf } from './device-at-rest.ts';

const corpus = corpusFolder();
const { done, notADatabase, damaged, notADeviceDatabase, wrongOwner, newerSchema } = RESTORE;
let folder: string;
let backup: Buffer;
let device: Device;
let path: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'backscroll-hostile-'));
  path = join(folder, 'device.db');
  device = await openAlone(path);
  device.receive({ peer: 'bob' }, messagesOf(1, 30));
  backup = readFileSync((await device.backupDatabase(join(folder, 'backup.db'))) ?? '');
  device.receive({ peer: 'bob' }, messagesOf(31, 5));
});

afterAll(async () => {
  await device.close();
  rmSync(folder, { recursive: true, force: true });
});

function given(bytes: Buffer): string {
  const home = mkdtempSync(join(tmpdir(), 'backscroll-given-'));
  writeFileSync(join(home, 'given.db'), bytes);
  return home;
}

/** What a restore of the file comes to; the device's database stays as it was, and so does the file. */
async function restored(bytes: Buffer): Promise<number> {
  const home = given(bytes);
  try {
    const before = stampOf(path);
    const code = await device.restoreDatabase(join(home, 'given.db'));
    if (code === done) return done;
    expect(stampOf(path)).toBe(before);
    expect(device.lastError).toBeInstanceOf(BackscrollError);
    expect(readdirSync(home)).toEqual(['given.db']);
    expect(readFileSync(join(home, 'given.db')).equals(bytes)).toBe(true);
    return code;
  } finally {
    rmSync(home, { recursive: true });
  }
}

/**
 * The reason for which the file is no device's database, and stays as it was; '' where it is one, and
 * EMPTY where it has become one, for it held no table.
 */
async function opened(bytes: Buffer): Promise<string> {
  const home = given(bytes);
  try {
    await using _ = await openAlone(join(home, 'given.db'));
    return isEmpty(bytes) ? 'EMPTY' : '';
  } catch (error) {
    expect(readFileSync(join(home, 'given.db')).equals(bytes)).toBe(true);
    expect(readdirSync(home)).toEqual(['given.db']);
    if (error instanceof BackscrollError) return error.reason;
    throw error;
  } finally {
    rmSync(home, { recursive: true });
  }
}

function isEmpty(bytes: Buffer): boolean {
  const home = given(bytes);
  const database = new DatabaseSync(join(home, 'given.db'));
  try {
    return database.prepare('SELECT * FROM sqlite_schema').get() === undefined;
  } finally {
    database.close();
    rmSync(home, { recursive: true });
  }
}

const filesOf = (name: string, small: Map<string, Buffer>) =>
  corpus
    ? [...readTarGz(join(corpus, 'sqlite', name))].filter(([file]) => file.endsWith('.db'))
    : [...small];

it.each([
  ['good', filesOf('good.tar.gz', goodDatabases())],
  ['bad', filesOf('bad.tar.gz', badDatabases())],
])('takes none of the %s files of others', async (_, files) => {
  const before = stampOf(path);
  for (const [name, bytes] of files) {
    const code = await restored(bytes);
    expect([notADatabase, damaged, notADeviceDatabase], name).toContain(code);
    const reason = await opened(bytes);
    const reasons = ['NOT_A_DATABASE', 'DATABASE_DAMAGED', 'NOT_A_DEVICE_DATABASE', 'EMPTY'];
    expect(reasons, name).toContain(reason);
  }
  expect(stampOf(path)).toBe(before);
});

it('takes of damaged backups of its own those alone that SQLite finds whole', async () => {
  const random = new Random(11);
  const codes = new Map<number, number>();
  for (let n = 0; n < 40; n++) {
    const bytes = Buffer.from(backup);
    const pages = bytes.length / 4_096;
    for (let i = 0; i < 8; i++) {
      // Of the file's header, of the headers of its pages, or of whatever comes.
      const offset = [
        random.between(16, 110),
        4_096 * random.between(1, pages - 1) + random.between(0, 30),
        random.between(110, bytes.length - 1),
      ][n % 3]!;
      bytes[offset] = random.uint32();
    }
    const cut = n % 10 === 9 ? bytes.subarray(0, random.between(1, bytes.length)) : bytes;
    const code = await restored(cut);
    expect([done, notADatabase, damaged, notADeviceDatabase, wrongOwner, newerSchema]).toContain(
      code,
    );
    codes.set(code, (codes.get(code) ?? 0) + 1);
    await opened(cut);
  }
  console.log('  codes of damaged backups, and how many had each:', Object.fromEntries(codes));
});
