import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { BackupClient } from '../../clients/backup/backup-client.ts';
import { BackupState } from '../../clients/device/backup/backup-state.ts';
import { Backups } from '../../clients/device/backup/backups.ts';
import { Schedule, type ScheduleOptions } from '../../clients/device/backup/schedule.ts';
import { Device, RESTORE, type ScheduledResult } from '../../clients/device/index.ts';
import { LocalStore } from '../../clients/device/local/local-store.ts';
import { openDatabase } from '../../clients/device/local/open.ts';
import { Tasks } from '../../clients/device/tasks.ts';
import { linesOf } from '../support/backscroll.ts';
import { messagesOf } from '../support/device-messages.ts';
import { eventually } from '../support/eventually.ts';
import { startService, TestProcess } from '../support/processes.ts';
import { client, home, path, service, useBackupHome, user } from './backup-home.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const NAME = 'backup.db';

const never = new AbortController().signal;

useBackupHome('device.db');

const numberOfBackups = async () => (await Array.fromAsync(client.list({ user }))).length;

const open = (as = user, database = path) =>
  Device.open({ database, user: as, history: '127.0.0.1:1', backup: service.address });

/** A process that backs the same database up on a schedule. */
const scheduleProcess = (address: string) =>
  new TestProcess(['test/support/device-process.ts', path, user, address, 'schedule']);

describe('a schedule', () => {
  let opened: DisposableStack;
  let store: LocalStore;
  let nowMs: number;
  let outcomes: string[];

  beforeEach(() => {
    opened = new DisposableStack();
    store = storeAt(path);
    store.write(() => store.setSetting('theme', 'dark'));
    nowMs = Date.now();
    outcomes = [];
  });

  afterEach(() => opened.dispose());

  const storeAt = (database: string) =>
    new LocalStore(opened.use(openDatabase(database, user)), user);

  /** What a process has that was just started. */
  function schedule(options: Partial<ScheduleOptions> = {}, address = service.address): Schedule {
    const backups = new Backups(store, opened.use(new BackupClient(address)), new Tasks());
    const onResult = ({ outcome }: ScheduledResult) => outcomes.push(outcome);
    const all = { every: DAY, minDatabaseAge: 0, onResult, ...options };
    return backups.schedule(all, () => nowMs);
  }

  const write = () => store.write(() => store.setFact('user_revision', 1));

  /** The outcomes of rounds until one waits; how long that is. */
  async function rounds(one: Schedule): Promise<[number, ...string[]]> {
    outcomes = [];
    let waitMs = 0;
    while (waitMs === 0) waitMs = await one.round(never);
    return [waitMs, ...outcomes];
  }

  it('backs up a changed database when the time has come', async () => {
    const created = Number(store.fact('created_at_ms'));
    const options = { minDatabaseAge: HOUR };
    nowMs = created + HOUR - 2;
    expect(await rounds(schedule(options))).toEqual([2, 'too-young']);
    nowMs += 2;
    // Looks once a minute at least.
    expect(await rounds(schedule(options))).toEqual([MINUTE, 'uploaded']);
    nowMs += DAY - 1;
    write();
    expect(await rounds(schedule(options))).toEqual([1]);
    nowMs += 1;
    expect(await rounds(schedule(options))).toEqual([MINUTE, 'uploaded']);
    nowMs += DAY;
    expect(await rounds(schedule(options))).toEqual([MINUTE, 'unchanged']);
    write();
    expect(await rounds(schedule(options))).toEqual([MINUTE]);
    nowMs += DAY;
    let suits = false;
    const asking = { ...options, when: async () => suits };
    expect(await rounds(schedule(asking))).toEqual([MINUTE, 'refused']);
    nowMs += MINUTE;
    expect(await rounds(schedule(asking))).toEqual([MINUTE, 'refused']);
    suits = true;
    expect(await rounds(schedule(asking))).toEqual([MINUTE, 'uploaded']);
    expect(await numberOfBackups()).toBe(3);
    expect(readdirSync(home).filter((name) => name.includes('snapshot'))).toEqual([]);
  });

  it('leaves the first backup of a new database until it is as old as the time between two', async () => {
    const results: ScheduledResult[] = [];
    const onResult = (result: ScheduledResult) => results.push(result);
    const usual = () => schedule({ minDatabaseAge: undefined, onResult });
    nowMs = Number(store.fact('created_at_ms')) + DAY - HOUR;
    expect(await rounds(usual())).toEqual([MINUTE]);
    expect(results).toEqual([{ outcome: 'too-young', leftMs: HOUR }]);
    expect(await numberOfBackups()).toBe(0);
    nowMs += HOUR;
    expect(await rounds(usual())).toEqual([MINUTE]);
    expect(results).toMatchObject([{ outcome: 'too-young' }, { outcome: 'uploaded' }]);
  });

  it('takes none for too young of which there is a backup', async () => {
    await rounds(schedule());
    nowMs += DAY;
    store.write(() => store.setFact('created_at_ms', nowMs));
    expect(await rounds(schedule({ minDatabaseAge: undefined }))).toEqual([MINUTE, 'uploaded']);
  });

  it('takes a restored database for a changed one, whatever was written since', async () => {
    await rounds(schedule());
    const { writes } = new BackupState(path, user).read(NAME);
    store.sqlite.run("UPDATE device SET value = 'another' WHERE name = 'lineage'");
    expect(store.fact('writes')).toBe(writes);
    nowMs += DAY;
    expect(await rounds(schedule())).toEqual([MINUTE, 'uploaded']);
  });

  it('comes later by a random part of the jitter, which the next process knows', async () => {
    const jitter = 30_000;
    const first = await schedule({ jitter }).round(never);
    expect(first).toBeGreaterThan(0);
    expect(first).toBeLessThanOrEqual(jitter);
    expect(await schedule({ jitter }).round(never)).toBe(first);
    nowMs += first;
    expect(await rounds(schedule({ jitter }))).toEqual([MINUTE, 'uploaded']);
    const { due_at_ms } = new BackupState(path, user).read(NAME);
    expect(due_at_ms).toBeGreaterThan(nowMs + DAY);
    expect(due_at_ms).toBeLessThanOrEqual(nowMs + DAY + jitter);
  });

  it('waits longer and longer after failures, up to an hour, also when the process is a new one', async () => {
    const store_ = `file:${join(home, 'full')}`;
    const settings = { BACKUP_STORE_URL: store_, BACKUP_QUOTA_BYTES: '1' };
    await using full = await startService('backup', settings);
    const state = new BackupState(path, user);
    let pauseMs = 0;
    for (let failures = 1; failures <= 9; failures++) {
      nowMs += pauseMs;
      expect(await rounds(schedule({}, full.address))).toEqual([expect.any(Number), 'failed']);
      const row = state.read(NAME);
      expect(row).toMatchObject({ failures, at_ms: null });
      pauseMs = Number(row.due_at_ms) - nowMs;
      const longestMs = Math.min(MINUTE * 2 ** (failures - 1), HOUR);
      expect(pauseMs).toBeGreaterThanOrEqual(longestMs / 2);
      expect(pauseMs).toBeLessThanOrEqual(longestMs);
    }
    expect(await rounds(schedule())).toEqual([MINUTE]);
    nowMs += pauseMs;
    expect(await rounds(schedule())).toEqual([MINUTE, 'uploaded']);
    expect(state.read(NAME)).toMatchObject({ failures: 0, due_at_ms: nowMs + DAY });
  });

  it('is not put off by a clock that was wrong', async () => {
    nowMs += 365 * DAY;
    expect(await rounds(schedule({ minDatabaseAge: HOUR }))).toEqual([MINUTE, 'uploaded']);
    nowMs -= 366 * DAY;
    write();
    expect(await rounds(schedule({ minDatabaseAge: HOUR }))).toEqual([MINUTE]);
    nowMs += DAY;
    expect(await rounds(schedule({ minDatabaseAge: HOUR }))).toEqual([MINUTE, 'uploaded']);
  });

  it('skips a database to which nothing was ever written', async () => {
    store = storeAt(join(home, 'fresh.db'));
    expect(await rounds(schedule())).toEqual([MINUTE, 'unchanged']);
    expect(await numberOfBackups()).toBe(0);
  });

  it.each([0, -1, Number.NaN, Number.MAX_SAFE_INTEGER, Infinity])(
    'is refused where it is every %s ms',
    (every) => {
      const refused = expect.objectContaining({ reason: 'INVALID_FIELD' });
      expect(() => schedule({ every })).toThrow(refused);
      expect(() => schedule({ jitter: every || -1 })).toThrow(refused);
    },
  );

  it('does not wait for a `when` that never ends once it is to stop', async () => {
    const stopping = new AbortController();
    const asked = Promise.withResolvers<void>();
    const when = () => {
      asked.resolve();
      return new Promise<boolean>(() => {});
    };
    const round = schedule({ when }).round(stopping.signal);
    await asked.promise;
    stopping.abort();
    expect(await round).toBe(MINUTE);
    expect(outcomes).toEqual([]);
  });

  it('backs up once, however many do so', async () => {
    await Promise.all(Array.from({ length: 5 }, () => schedule().round(never)));
    expect(outcomes).toEqual(['uploaded']);
    nowMs += DAY;
    await Promise.all(Array.from({ length: 5 }, () => schedule().round(never)));
    expect(outcomes).toEqual(['uploaded', 'unchanged']);
    expect(await numberOfBackups()).toBe(1);
  });

  it('tells of a `when` that fails, and asks it again after a minute', async () => {
    const failures: unknown[] = [];
    const onResult = (result: ScheduledResult) =>
      failures.push(result.outcome === 'failed' ? result.error : result.outcome);
    const why = new Error('no battery');
    const throwing = () => {
      throw why;
    };
    for (const when of [throwing, () => Promise.reject(why)]) {
      expect(await rounds(schedule({ when, onResult }))).toEqual([MINUTE]);
    }
    expect(failures).toEqual([why, why]);
    expect(new BackupState(path, user).read(NAME)).toMatchObject({ failures: 0 });
    expect(await rounds(schedule({ when: () => true }))).toEqual([MINUTE, 'uploaded']);
  });

  it('takes over from a process that was killed', async () => {
    // Takes connections, and never says a word.
    const mute = createServer((socket) => socket.on('error', () => {})).listen(0, '127.0.0.1');
    opened.defer(() => mute.close());
    await once(mute, 'listening');
    const { port } = mute.address() as AddressInfo;
    await using other = scheduleProcess(`127.0.0.1:${port}`);
    const state = new BackupState(path, user);
    await eventually(() => expect(state.read(NAME).upload_id).not.toBeNull());
    nowMs = Number(state.read(NAME).due_at_ms);
    expect(await rounds(schedule())).toEqual([MINUTE]);
    await other.kill();
    expect(await rounds(schedule())).toEqual([MINUTE, 'uploaded']);
    expect(state.read(NAME)).toMatchObject({ failures: 0, due_at_ms: nowMs + DAY });
    const copies = () => readdirSync(home).filter((name) => name.includes('snapshot'));
    await eventually(() => expect(copies()).toEqual([]));
  });

  it('takes a stop for no failure, and goes on at the next start', async () => {
    const state = new BackupState(path, user);
    const stopping = new AbortController();
    const now = () => ({ createdAtMs: 0, lineage: 'l', writes: 1 });
    const upload = async () => {
      stopping.abort();
      throw new Error('stopped');
    };
    const onResult = vi.fn();
    const lock = () => state.lock();
    const stopped = new Schedule(
      { name: NAME, state, lock, now, upload },
      { every: DAY, minDatabaseAge: 0, onResult },
      () => nowMs,
    );
    await stopped.round(stopping.signal);
    expect(state.read(NAME)).toMatchObject({ failures: 0, due_at_ms: nowMs });
    expect(onResult).not.toHaveBeenCalled();
    expect(await rounds(schedule())).toEqual([MINUTE, 'uploaded']);
  });
});

it('is kept once by processes that share a database', async () => {
  {
    await using device = await open();
    device.receive({ peer: 'bob' }, messagesOf(1, 200));
  }
  await using running = new AsyncDisposableStack();
  const run = () => running.use(scheduleProcess(service.address));
  const processes = Array.from({ length: 4 }, run);
  const said = () => processes.flatMap(({ stdout }) => linesOf(stdout)).sort();
  const all = [...Array(4).fill('started'), 'uploaded'];
  await eventually(() => expect(said()).toEqual(all));
  for (const { child } of processes) child.stdin?.end();
  for (const process of processes) {
    expect([await process.exited, process.stderr]).toEqual([{ code: 0, signal: null }, '']);
  }
  expect(said()).toEqual(all);
  expect(await numberOfBackups()).toBe(1);
});

it('brings a database to a new device of the same user, and to nobody else', async () => {
  await using device = await open();
  device.receive({ peer: 'bob' }, messagesOf(1, 200));
  const results: ScheduledResult[] = [];
  const onResult = (one: ScheduledResult) => results.push(one);
  const end = device.scheduleBackups({ every: HOUR, minDatabaseAge: 0, onResult });
  expect(device.backupAge()).toBe(-1);
  device.start();
  await eventually(() => expect(results).toHaveLength(1));
  expect(results).toMatchObject([{ outcome: 'uploaded', uploaded: { backup: { user } } }]);
  expect(device.backupAge()).toBeGreaterThanOrEqual(0);
  expect(await device.serverBackupAge()).toBeGreaterThanOrEqual(0);
  expect(readdirSync(home).filter((name) => name.includes('snapshot'))).toEqual([]);
  end();
  const copy = await device.backupDatabase(null);
  await device.close();

  const restored: (number | undefined)[] = [];
  await using fresh = await open(user, join(home, 'new-device.db'));
  expect(await fresh.restoreLatest()).toBe(RESTORE.done);
  const session = fresh.readSession({ peer: 'bob' }, ({ seq }) => restored.push(seq));
  expect(session.read(1_000)).toBe(200);
  expect(restored.at(-1)).toBe(1);

  await using eve = await open('eve', join(home, 'eve.db'));
  await expect(eve.restoreLatest()).rejects.toMatchObject({ reason: 'BACKUP_NOT_FOUND' });
  expect(await eve.restoreDatabase(copy ?? '')).toBe(RESTORE.wrongOwner);
});
