import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { BackupState } from '../../clients/device/backup/backup-state.ts';
import { adopt, restoreInto } from '../../clients/device/backup/restore.ts';
import { Device, RESTORE } from '../../clients/device/index.ts';
import { LocalStore } from '../../clients/device/local/local-store.ts';
import { openDatabase } from '../../clients/device/local/open.ts';
import { APPLICATION_ID, SCHEMA } from '../../clients/device/local/schema.ts';
import { linesOf } from '../support/backscroll.ts';
import { auditOf, messagesOf } from '../support/device-messages.ts';
import { eventually } from '../support/eventually.ts';
import { TestProcess } from '../support/processes.ts';
import { client, home, path, root, service, useBackupHome, user } from './backup-home.ts';

useBackupHome('device.db');

const open = (user = 'ana', database = path) =>
  Device.open({ database, user, history: '127.0.0.1:1', backup: service.address });

const deviceProcess = (...args: string[]) =>
  new TestProcess(['test/support/device-process.ts', ...args]);

/** What stands in the folder of the database. */
const names = () => readdirSync(home).sort();

/** The seqs of messages with bob that a device has. */
function seqsOf(device: Device): (number | undefined)[] {
  const seqs: (number | undefined)[] = [];
  device.readSession({ peer: 'bob', order: 'oldest-first' }, ({ seq }) => seqs.push(seq)).read(1e6);
  return seqs;
}

const upTo = (count: number) => Array.from({ length: count }, (_, n) => n + 1);

describe('backupDatabase and restoreDatabase', () => {
  it('go there and back, and the device goes on with what was restored', async () => {
    await using device = await open();
    device.receive({ peer: 'bob' }, messagesOf(1, 3));
    chmodSync(path, 0o640);
    expect(await device.backupDatabase(null)).toBe(join(home, 'backup.db'));
    expect(device.lastError).toBeUndefined();
    expect(statSync(join(home, 'backup.db')).mode & 0o777).toBe(0o640);
    device.receive({ peer: 'bob' }, messagesOf(4, 2));
    expect(await device.restoreDatabase(join(home, 'backup.db'))).toBe(RESTORE.done);
    expect(seqsOf(device)).toEqual(upTo(3));
    device.receive({ peer: 'bob' }, messagesOf(4, 1));
    expect(seqsOf(device)).toEqual(upTo(4));
    await device.close();
    expect(device.keptPath).toBe(`${path}.before-restore`);
    expect(auditOf(`${path}.before-restore`)).toBe(5);
    expect(auditOf(path)).toBe(4);
    expect(names()).toEqual(
      ['backup.db', 'device.db', 'device.db-state', 'device.db.before-restore'].sort(),
    );
  });

  it('make a backup also where nothing can be noted of it', async () => {
    await using device = await open();
    device.receive({ peer: 'bob' }, messagesOf(1, 3));
    mkdirSync(`${path}-state`);
    expect(await device.backupDatabase(null)).toBe(join(home, 'backup.db'));
    expect(auditOf(join(home, 'backup.db'))).toBe(3);
  });

  it('keep nothing of a database that nothing was written to', async () => {
    await using old = await open('ana', join(home, 'old.db'));
    old.receive({ peer: 'bob' }, messagesOf(1, 3));
    const backup = (await old.backupDatabase(join(home, 'copy.db'))) ?? '';
    await old.close();
    await using device = await open();
    expect(await device.restoreDatabase(backup)).toBe(RESTORE.done);
    expect(seqsOf(device)).toEqual(upTo(3));
    expect(device.keptPath).toBeUndefined();
    expect(names()).not.toContain('device.db.before-restore');
  });

  it('copy a database that another process writes to all the time', async () => {
    await using writer = deviceProcess(path, 'ana', service.address, 'write');
    const written = () => Number(linesOf(writer.stdout).at(-1) ?? 0);
    await eventually(() => expect(written()).toBeGreaterThan(0));
    await using device = await open();
    const target = join(home, 'copy.db');
    for (let n = 0; n < 20; n++) {
      const before = written();
      expect(await device.backupDatabase(target)).toBe(target);
      expect(auditOf(target)).toBeGreaterThanOrEqual(before);
      await eventually(() => expect(written()).toBeGreaterThan(before));
    }
    writer.child.stdin?.end();
    expect([await writer.exited, writer.stderr]).toEqual([{ code: 0, signal: null }, '']);
  });

  it('replace no database in use, and nothing that is no file', async () => {
    await using device = await open();
    device.receive({ peer: 'bob' }, messagesOf(1, 3));
    expect(device.backupAge()).toBe(-1);
    const link = join(home, 'link.db');
    symlinkSync(path, link);
    mkdirSync(join(home, 'folder'));
    const other = join(home, 'other.db');
    await using inUse = await open('ana', other);
    inUse.receive({ peer: 'bob' }, messagesOf(1, 1));
    for (const [target, reason] of [
      [path, 'DATABASE_IN_USE'],
      [`${path}-wal`, 'DATABASE_IN_USE'],
      [`${path}-journal`, 'DATABASE_IN_USE'],
      [`${path}-state`, 'DATABASE_IN_USE'],
      [`${path}.files`, 'DATABASE_IN_USE'],
      [`${path}.before-restore`, 'DATABASE_IN_USE'],
      [`${path}.before-restore-2`, 'DATABASE_IN_USE'],
      [other, 'DATABASE_IN_USE'],
      [link, 'NOT_A_FILE'],
      [join(home, 'folder'), 'NOT_A_FILE'],
    ] as const) {
      expect(await device.backupDatabase(target), target).toBeNull();
      expect(device.lastError, target).toMatchObject({ reason });
    }
    expect(await device.backupDatabase(join(home, 'none', 'copy.db'))).toBeNull();
    expect(device.lastError).toMatchObject({ code: 'ENOENT' });
    expect(seqsOf(device)).toEqual(upTo(3));
    expect(device.backupAge()).toBe(-1);
    expect(names()).not.toContain('device.db-state');
    expect(await device.backupDatabase(null)).not.toBeNull();
    expect(device.backupAge()).toBeGreaterThanOrEqual(0);
    expect(names().filter((name) => name.includes('snapshot'))).toEqual([]);
  });
});

describe('restoreDatabase', () => {
  let backup: string;
  let device: Device;

  beforeEach(async () => {
    const folder = join(home, 'given');
    mkdirSync(folder);
    backup = join(folder, 'backup.db');
    await using old = await open('ana', join(root, 'old.db'));
    old.receive({ peer: 'bob' }, messagesOf(1, 100));
    expect(await old.backupDatabase(backup)).toBe(backup);
    device = await open();
    device.receive({ peer: 'bob' }, messagesOf(1, 5));
  });

  afterEach(() => device.close());

  /**
   * What stands in both folders, by sums over the bytes. Another process reads them: to do so here would
   * end the device's locks.
   */
  const sums = () =>
    execFileSync('sh', ['-c', 'find . -type f -exec cksum {} + | sort'], {
      cwd: home,
      encoding: 'utf8',
    });

  /** Restores a file; the database and the file must stay as they were, and the reason be told. */
  async function refused(file = backup) {
    const before = sums();
    const code = await device.restoreDatabase(file);
    expect(sums()).toBe(before);
    expect(device.lastError).toBeInstanceOf(Error);
    expect(seqsOf(device)).toEqual(upTo(5));
    return code;
  }

  it.each<[keyof typeof RESTORE, string, () => void]>([
    ['noSuchFile', 'none', () => rmSync(backup)],
    ['notADatabase', 'a folder', () => makeFolder()],
    ['notADatabase', 'an empty file', () => truncateSync(backup)],
    ['notADatabase', 'a text', () => writeFileSync(backup, 'SQLite format 3'.repeat(99))],
    ['damaged', 'a cut one', () => truncateSync(backup, statSync(backup).size - 4_096)],
    [
      'damaged',
      'one without its last bytes',
      () => truncateSync(backup, statSync(backup).size - 7),
    ],
    ['damaged', 'one with a page of noise', () => overwrite(backup, 3 * 4_096, 0xff)],
    ['notADeviceDatabase', 'an empty one', () => makeOther('PRAGMA user_version = 0; VACUUM')],
    ['notADeviceDatabase', "another program's", () => makeOther('CREATE TABLE t (x)')],
    ['notADeviceDatabase', 'one with a trigger', () => alter(TRIGGER)],
    ['notADeviceDatabase', 'one of no time', () => alter(TIMELESS)],
    ['notADeviceDatabase', 'one that never ends', () => makeOther(ENDLESS)],
    [
      'wrongOwner',
      "another user's",
      () => alter("UPDATE device SET value = 'eve' WHERE name = 'owner'"),
    ],
    ['newerSchema', 'a newer one', () => alter('PRAGMA user_version = 999')],
    ['inUse', 'one with a WAL', () => writeFileSync(`${backup}-wal`, 'of somebody')],
  ])('says %s of %s', async (code, _, make) => {
    make();
    expect(await refused()).toBe(RESTORE[code]);
  });

  it('says diskFull of one that is too large', async () => {
    const { bavail, bsize } = statfsSync(home);
    truncateSync(backup, bavail * bsize + 2 ** 30);
    expect(await device.restoreDatabase(backup)).toBe(RESTORE.diskFull);
    expect(device.lastError).toMatchObject({ reason: 'DISK_FULL' });
    expect(seqsOf(device)).toEqual(upTo(5));
  });

  it('says damaged of one that takes too long to check', async () => {
    makeOther(SLOW);
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      const told = vi.fn();
      void device.restoreDatabase(backup).then(told);
      await eventually(() => {
        vi.advanceTimersByTime(60_000);
        expect(told).toHaveBeenCalledWith(RESTORE.damaged);
      });
    } finally {
      vi.useRealTimers();
    }
    expect(device.lastError?.message).toContain('took longer than');
    expect(names()).not.toContainEqual(expect.stringContaining('restore-'));
    expect(seqsOf(device)).toEqual(upTo(5));
  });

  it('goes by what a link leads to, and takes what may only be read', async () => {
    chmodSync(backup, 0o400);
    const link = join(home, 'link.db');
    symlinkSync(backup, link);
    expect(await device.restoreDatabase(link)).toBe(RESTORE.done);
    expect(seqsOf(device)).toEqual(upTo(100));
    expect(readdirSync(join(home, 'given'))).toEqual(['backup.db']);
  });

  it('works only before the start, while nobody else uses the database', async () => {
    device.start();
    expect(await refused()).toBe(RESTORE.alreadyStarted);
    await device.stop();
    {
      await using other = deviceProcess(path, 'ana', service.address, 'schedule');
      await eventually(() => expect(other.stdout).toContain('started'));
      expect(await device.restoreDatabase(backup)).toBe(RESTORE.inUse);
      expect(await device.restoreLatest()).toBe(RESTORE.inUse);
      expect(device.lastError).toMatchObject({ reason: 'DATABASE_IN_USE' });
      expect(seqsOf(device)).toEqual(upTo(5));
    }
    const restoring = device.restoreDatabase(backup);
    expect(() => device.start()).toThrow('being restored');
    await expect(device.uploadBackup()).rejects.toMatchObject({ reason: 'DATABASE_IN_USE' });
    expect(await device.restoreDatabase(backup)).toBe(RESTORE.inUse);
    expect(await restoring).toBe(RESTORE.done);
    const copying = device.backupDatabase(null);
    expect(await device.restoreDatabase(backup)).toBe(RESTORE.inUse);
    expect(await copying).toBe(join(home, 'backup.db'));
    device.start();
  });

  it('refuses the database itself, by whatever name, and what is no path', async () => {
    const names = [path, join(home, 'given', '..', 'device.db'), join(home, 'link.db')];
    symlinkSync(path, join(home, 'link.db'));
    for (const name of names) {
      expect(await refused(name)).toBe(RESTORE.inUse);
      expect(device.lastError?.message).toContain("is the device's own database");
    }
    for (const none of [undefined, null, 5, {}, 'a\0b']) {
      expect(await device.restoreDatabase(none as never)).toBe(RESTORE.failed);
      expect(device.lastError).toMatchObject({ code: 3, reason: 'INVALID_FIELD' });
      if (none === undefined || none === null) continue;
      expect(await device.backupDatabase(none as never)).toBeNull();
      expect(device.lastError).toMatchObject({ code: 3, reason: 'INVALID_FIELD' });
    }
  });

  it('tells of the file by its own name, and of whoever has the database open', async () => {
    truncateSync(backup, statSync(backup).size - 4_096);
    expect(await refused()).toBe(RESTORE.damaged);
    expect(device.lastError?.message.startsWith(`${backup}: `)).toBe(true);
    await using _ = await open();
    const whole = (await device.backupDatabase(join(home, 'whole.db'))) ?? '';
    expect(await device.restoreDatabase(whole)).toBe(RESTORE.inUse);
    expect(device.lastError?.message).toContain(`${path} is open in another connection or process`);
  });

  it('brings an older database up to the current schema', async () => {
    const newer = [...SCHEMA, 'CREATE TABLE addition (x TEXT) STRICT'];
    const lineage = () => factOf(backup, 'lineage');
    const before = lineage();
    await adopt(backup, 'ana', new AbortController().signal, newer);
    expect(lineage()).not.toBe(before);
    expect(readdirSync(join(home, 'given'))).toEqual(['backup.db']);
    using sqlite = openDatabase(backup, 'ana', newer);
    expect(sqlite.all('SELECT * FROM addition')).toEqual([]);
    expect(() => openDatabase(backup, 'ana')).toThrow('newer version');
  });

  it('tells why it failed also where the database can not be opened again', async () => {
    const database = join(home, 'broken.db');
    const store = new LocalStore(openDatabase(database, 'ana'), 'ana');
    const { signal } = new AbortController();
    const restoring = restoreInto(
      { store, closing: signal, signal },
      {
        name: backup,
        bring: async (_, sqlite, to) => {
          await sqlite.copyFile(backup, to);
          rmSync(database);
          writeFileSync(database, 'no database '.repeat(100));
          mkdirSync(`${database}-journal`);
        },
      },
    );
    const failure = { reason: 'SQLITE_FAILED', message: expect.stringContaining('broken.db') };
    await expect(restoring).rejects.toMatchObject({ ...failure, cause: failure });
  });

  it('ends with the device, which leaves the database as it was', async () => {
    const restoring = device.restoreDatabase(backup);
    await device.close();
    expect(await restoring).toBe(RESTORE.failed);
    expect(device.lastError).toMatchObject({ reason: 'CANCELLED' });
    expect(await device.restoreDatabase(backup)).toBe(RESTORE.failed);
    expect(auditOf(path)).toBe(5);
    expect(names()).toEqual(['device.db', 'given']);
  });

  function alter(sql: string): void {
    const database = new DatabaseSync(backup);
    database.enableDefensive(false);
    database.exec(sql);
    database.close();
  }

  function makeFolder(): void {
    rmSync(backup);
    mkdirSync(backup);
  }

  function makeOther(sql: string): void {
    rmSync(backup);
    alter(`CREATE TABLE gone (x); DROP TABLE gone; ${sql}`);
  }
});

const TRIGGER = `
  CREATE TRIGGER later AFTER INSERT ON message BEGIN DELETE FROM message; END`;

const TIMELESS = "DELETE FROM device WHERE name = 'created_at_ms'";

/** Looks like a device's, and to ask for its owner is to wait for ever. */
const ENDLESS = `
  PRAGMA application_id = ${APPLICATION_ID};
  PRAGMA user_version = ${SCHEMA.length};
  CREATE VIEW device AS
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
    SELECT 'owner' AS name, i AS value FROM n WHERE i < 0`;

/** Each of its rows takes SQLite long to check. */
const SLOW = `
  CREATE TABLE t (x);
  WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
    INSERT INTO t SELECT i FROM n;
  PRAGMA writable_schema = ON;
  UPDATE sqlite_schema SET sql = 'CREATE TABLE t (
    x, y TEXT AS (replace(hex(zeroblob(10000000 + x)), ''0'', ''00'')) NOT NULL
  )' WHERE name = 't'`;

function overwrite(file: string, offset: number, byte: number): void {
  const bytes = readFileSync(file);
  bytes.fill(byte, offset, offset + 4_096);
  writeFileSync(file, bytes);
}

function factOf(file: string, name: string): unknown {
  const database = new DatabaseSync(file);
  try {
    return database.prepare('SELECT value FROM device WHERE name = ?').get(name)?.value;
  } finally {
    database.close();
  }
}

describe('uploadBackup and restoreLatest', () => {
  it('go there and back', async () => {
    await using device = await open(user);
    expect([device.backupAge(), await device.serverBackupAge()]).toEqual([-1, -1]);
    device.receive({ peer: 'bob' }, messagesOf(1, 500));
    const first = await device.uploadBackup({ label: 'first' });
    expect(first).toMatchObject({ unchanged: false, backup: { user, label: 'first' } });
    expect(Number(first.backup.databaseCreatedAtMs)).toBe(factOf(path, 'created_at_ms'));
    device.receive({ peer: 'bob' }, messagesOf(501, 10));
    const second = await device.uploadBackup();
    expect(second.sentBytes).toBeLessThan(first.sentBytes / 2);
    expect(await device.uploadBackup()).toMatchObject({ unchanged: true });
    expect(names().filter((name) => name.includes('snapshot'))).toEqual([]);
    for (const age of [device.backupAge(), device.databaseAge(), await device.serverBackupAge()]) {
      expect(age).toBeGreaterThanOrEqual(0);
    }
    await device.close();

    await using other = await open(user, join(home, 'other.db'));
    expect(await other.restoreLatest()).toBe(RESTORE.done);
    expect(seqsOf(other)).toEqual(upTo(510));
    expect(factOf(join(home, 'other.db'), 'created_at_ms')).toBe(factOf(path, 'created_at_ms'));
    // What it uploads now is a little more than a state of the same database.
    const third = await other.uploadBackup();
    expect(third.backup.warnings).toEqual([]);
    expect(third.sentBytes).toBeLessThan(first.sentBytes / 2);
  });

  it('throws what the service says, and gives the codes for what its backup is', async () => {
    await using device = await open(user);
    device.receive({ peer: 'bob' }, messagesOf(1, 5));
    await expect(device.restoreLatest()).rejects.toMatchObject({ reason: 'BACKUP_NOT_FOUND' });
    const good = await device.uploadBackup();
    await client.upload('examples/app.db', { user });
    expect(await device.restoreLatest()).toBe(RESTORE.notADeviceDatabase);
    expect(device.lastError?.message).toMatch(/^The backup is /);
    expect(await device.restoreLatest({ number: good.backup.number })).toBe(RESTORE.done);
    await expect(device.restoreLatest({ number: 999 })).rejects.toMatchObject({
      reason: 'BACKUP_NOT_FOUND',
    });
    {
      await using eve = await open('eve', join(home, 'eve.db'));
      await eve.uploadBackup();
      const copy = (await eve.backupDatabase(join(home, 'eve-copy.db'))) ?? '';
      await client.upload(copy, { user });
    }
    expect(await device.restoreLatest()).toBe(RESTORE.wrongOwner);
    expect(device.lastError).toMatchObject({ reason: 'WRONG_OWNER' });
    const key = randomBytes(32);
    await device.uploadBackup({ database: 'sealed.db', key });
    for (const none of ['abc', null, 5, {}, { passphrase: 5 }]) {
      const sealed = { database: 'sealed.db', key: none as never };
      const message = 'a key is a Uint8Array of 32 bytes, or { passphrase } with a string';
      const refusal = { reason: 'INVALID_KEY', message };
      await expect(device.uploadBackup(sealed)).rejects.toMatchObject(refusal);
      await expect(device.restoreLatest(sealed)).rejects.toMatchObject(refusal);
    }
    await expect(device.restoreLatest({ database: 'sealed.db' })).rejects.toMatchObject({
      reason: 'KEY_REQUIRED',
    });
    expect(await device.restoreLatest({ database: 'sealed.db', key })).toBe(RESTORE.done);
    device.start();
    expect(await device.restoreLatest()).toBe(RESTORE.alreadyStarted);
    expect(seqsOf(device)).toEqual(upTo(5));
  });

  it('gives the codes, too, for what fails on this side', async () => {
    await using device = await open(user);
    device.receive({ peer: 'bob' }, messagesOf(1, 5));
    await device.uploadBackup();
    for (const [failure, code] of [
      ['ENOSPC', RESTORE.diskFull],
      ['EACCES', RESTORE.failed],
    ] as const) {
      const error = Object.assign(new Error(failure), { errno: -1, code: failure });
      const onProgress = () => {
        throw error;
      };
      expect(await device.restoreLatest({ onProgress })).toBe(code);
      expect(device.lastError).toBe(error);
      expect(seqsOf(device)).toEqual(upTo(5));
    }
  });

  it('goes on when the caller cancels', async () => {
    await using device = await open(user);
    device.receive({ peer: 'bob' }, messagesOf(1, 500));
    await device.uploadBackup();
    const ending = new AbortController();
    const onProgress = () => ending.abort();
    const cancelled = device.restoreLatest({ signal: ending.signal, onProgress });
    await expect(cancelled).rejects.toMatchObject({ reason: 'CANCELLED' });
    expect(seqsOf(device)).toEqual(upTo(500));
    device.receive({ peer: 'bob' }, messagesOf(501, 500));
    const upload = device.uploadBackup({ signal: ending.signal });
    await expect(upload).rejects.toMatchObject({ reason: 'CANCELLED' });
    expect(await device.uploadBackup()).toMatchObject({ unchanged: false });
    expect(await device.restoreLatest()).toBe(RESTORE.done);
    expect(seqsOf(device)).toEqual(upTo(1_000));
  });

  it('goes on with an upload that a kill broke off, and begins anew behind one that had its end', async () => {
    await using device = await open(user);
    device.receive({ peer: 'bob' }, messagesOf(1, 5));
    const state = new BackupState(path, user);
    // As a kill leaves it whose upload had begun, or was even committed: its answer never came.
    state.update('backup.db', () => ({ upload_id: 'broken' }));
    expect(await device.uploadBackup()).toMatchObject({ backup: { uploadId: 'broken' } });
    state.update('backup.db', () => ({ upload_id: 'broken' }));
    expect(await device.uploadBackup()).toMatchObject({ repeated: true });
    state.update('backup.db', () => ({ upload_id: 'broken' }));
    device.receive({ peer: 'bob' }, messagesOf(6, 1_000));
    const { backup, repeated } = await device.uploadBackup();
    expect([backup.number, repeated]).toEqual([2n, false]);
    expect(state.read('backup.db').upload_id).toBeNull();
  });

  it('uploads what is newest where another process took up its upload', async () => {
    await using slow = await open(user);
    await using fast = await open(user);
    slow.receive({ peer: 'bob' }, messagesOf(1, 1_000));
    const take = async () => {
      fast.receive({ peer: 'bob' }, messagesOf(1_001, 500));
      await fast.uploadBackup();
    };
    let taking: Promise<void> | undefined;
    const onProgress = () => {
      taking ??= take();
    };
    await slow.uploadBackup({ onProgress });
    await taking;
    await using fresh = await open(user, join(home, 'fresh.db'));
    expect(await fresh.restoreLatest()).toBe(RESTORE.done);
    expect(seqsOf(fresh)).toEqual(upTo(1_500));
  });

  it('throws what can not be meant', async () => {
    await using device = await open(user);
    device.receive({ peer: 'bob' }, messagesOf(1, 5));
    await device.uploadBackup();
    await expect(device.restoreLatest({ number: 'x' as never })).rejects.toThrow();
  });

  it('knows of no backup where what it knew is damaged', async () => {
    await using device = await open(user);
    await device.backupDatabase(null);
    expect(device.backupAge()).toBeGreaterThanOrEqual(0);
    for (const noise of ['noise '.repeat(1_000), '']) {
      writeFileSync(`${path}-state`, noise);
      expect(device.backupAge()).toBe(-1);
      expect(readFileSync(`${path}-state`, 'utf8')).toBe(noise);
      await device.backupDatabase(null);
      expect(device.backupAge()).toBeGreaterThanOrEqual(0);
    }
  });
});
