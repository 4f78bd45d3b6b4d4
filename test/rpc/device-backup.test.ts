import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { Device, RESTORE } from '../../clients/device/index.ts';
import { linesOf } from '../support/backscroll.ts';
import { messagesOf } from '../support/device-messages.ts';
import { startService, TestProcess, type TestService } from '../support/processes.ts';

const used = new AsyncDisposableStack();
let root: string;
let service: TestService;
let home: string;
let path: string;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'backscroll-device-'));
  used.defer(() => rmSync(root, { recursive: true, force: true }));
  const store = `file:${join(root, 'backups')}`;
  service = used.use(await startService('backup', { BACKUP_STORE_URL: store }));
});

afterAll(() => used.disposeAsync());

beforeEach(() => {
  home = mkdtempSync(join(root, 'home-'));
  path = join(home, 'device.db');
});

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

/** How many messages with bob a file has; throws where it is damaged, or lacks one below the highest. */
function auditOf(file: string): number {
  const database = new DatabaseSync(file, { timeout: 30_000 });
  try {
    const whole = database.prepare('PRAGMA integrity_check').get()?.integrity_check;
    if (whole !== 'ok') throw new Error(`damaged: ${whole}`);
    const row = database
      .prepare('SELECT count(*) AS count, coalesce(max(seq), 0) AS last FROM message')
      .get();
    if (row?.count !== row?.last) throw new Error(`${row?.count} messages up to ${row?.last}`);
    return Number(row?.count);
  } finally {
    database.close();
  }
}

describe('backupDatabase and restoreDatabase', () => {
  it('go there and back, and the device goes on with what was restored', async () => {
    await using device = await open();
    device.receive({ peer: 'bob' }, messagesOf(1, 3));
    chmodSync(path, 0o640);
    expect(await device.backupDatabase(null)).toBe(join(home, 'backup.db'));
    expect(device.lastError).toBeUndefined();
    expect(statSync(join(home, 'backup.db')).mode & 0o777).toBe(0o640);
    device.receive({ peer: 'bob' }, messagesOf(4, 2));
    const session = device.readSession({ peer: 'bob' }, () => {});
    expect(await device.restoreDatabase(join(home, 'backup.db'))).toBe(RESTORE.done);
    expect(seqsOf(device)).toEqual(upTo(3));
    expect(session.read(10)).toBe(3);
    device.receive({ peer: 'bob' }, messagesOf(4, 1));
    expect(seqsOf(device)).toEqual(upTo(4));
    await device.close();
    expect(auditOf(`${path}.before-restore`)).toBe(5);
    expect(auditOf(path)).toBe(4);
    expect(names()).toEqual(
      ['backup.db', 'device.db', 'device.db-state', 'device.db.before-restore'].sort(),
    );
  });

  it('keep nothing of a database that nothing was written to', async () => {
    await using old = await open('ana', join(home, 'old.db'));
    old.receive({ peer: 'bob' }, messagesOf(1, 3));
    const backup = (await old.backupDatabase(join(home, 'copy.db'))) ?? '';
    await old.close();
    await using device = await open();
    expect(await device.restoreDatabase(backup)).toBe(RESTORE.done);
    expect(seqsOf(device)).toEqual(upTo(3));
    expect(names()).not.toContain('device.db.before-restore');
  });

  it('copy a database that another process writes to all the time', async () => {
    await using writer = deviceProcess(path, 'ana', service.address, 'write');
    const written = () => Number(linesOf(writer.stdout).at(-1) ?? 0);
    await vi.waitFor(() => expect(written()).toBeGreaterThan(0), { timeout: 60_000 });
    await using device = await open();
    const target = join(home, 'copy.db');
    for (let n = 0; n < 20; n++) {
      const before = written();
      expect(await device.backupDatabase(target)).toBe(target);
      expect(auditOf(target)).toBeGreaterThanOrEqual(before);
      await vi.waitFor(() => expect(written()).toBeGreaterThan(before), { timeout: 60_000 });
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
    expect(await device.backupDatabase(null)).not.toBeNull();
    expect(device.backupAge()).toBeGreaterThanOrEqual(0);
    expect(names().filter((name) => name.includes('snapshot'))).toEqual([]);
  });
});
