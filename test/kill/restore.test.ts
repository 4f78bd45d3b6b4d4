import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { BackupClient } from '../../clients/backup/backup-client.ts';
import { snapshot } from '../../clients/backup/snapshot.ts';
import { linesOf, startBackscroll } from '../support/backscroll.ts';
import { eventually } from '../support/eventually.ts';
import { startService, type TestService } from '../support/processes.ts';

const used = new AsyncDisposableStack();
const dieAtCall = fileURLToPath(new URL('../support/die-at-call.ts', import.meta.url));
let folder: string;
let service: TestService;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'backscroll-restore-'));
  used.defer(() => rmSync(folder, { recursive: true, force: true }));
  const store = `file:${join(folder, 'backups')}`;
  service = used.use(await startService('backup', { BACKUP_STORE_URL: store }));
});

afterAll(() => used.disposeAsync());

/**
 * Makes a database in WAL mode, and copies it with its WAL as a killed program would leave it. Half of
 * its pages stand in the WAL: mixed into another database, that makes neither of the two.
 */
function makeLeft(path: string, state: string, alsoInWal: string): void {
  const source = `${path}.source`;
  const database = new DatabaseSync(source);
  database.exec(`
    PRAGMA journal_mode = WAL;
    PRAGMA wal_autocheckpoint = 0;
    CREATE TABLE row (state TEXT);
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
      INSERT INTO row SELECT '${state}' FROM n;
    PRAGMA wal_checkpoint;
    UPDATE row SET state = '${alsoInWal}' WHERE rowid > 1000`);
  for (const part of ['', '-wal', '-shm']) copyFileSync(`${source}${part}`, `${path}${part}`);
  database.close();
}

/** The states in a database and how many rows have each; throws where it is damaged. */
function statesOf(path: string): Record<string, number> {
  const database = new DatabaseSync(path, { timeout: 30_000 });
  try {
    const whole = database.prepare('PRAGMA integrity_check').get();
    if (whole?.integrity_check !== 'ok') throw new Error(`damaged: ${JSON.stringify(whole)}`);
    const rows = database.prepare('SELECT state, count(*) AS rows FROM row GROUP BY state').all();
    return Object.fromEntries(rows.map(({ state, rows: count }) => [String(state), Number(count)]));
  } finally {
    database.close();
  }
}

it('leaves the old or the new database whole, whichever step of a restore is the last', async () => {
  const old = { old: 1_000, 'old, in the WAL': 1_000 };
  const fresh = { new: 1_000, 'new, in the WAL': 1_000 };
  const [before, after] = [join(folder, 'before.db'), join(folder, 'after.db')];
  makeLeft(before, 'old', 'old, in the WAL');
  makeLeft(after, 'new', 'new, in the WAL');
  {
    using client = new BackupClient(service.address);
    await using copy = await snapshot(after);
    await client.upload(copy.path, { user: 'killed' });
  }
  const steps: string[] = [];
  for (;;) {
    const home = join(folder, `step-${steps.length + 1}`);
    mkdirSync(home);
    const path = join(home, 'app.db');
    for (const part of ['', '-wal', '-shm']) copyFileSync(`${before}${part}`, `${path}${part}`);
    const env = { BACKSCROLL_BACKUP: service.address, DIE_AT_CALL: `${steps.length + 1}` };
    const args = ['backup', 'restore', path, '--user', 'killed'];
    const process = startBackscroll(env, args, ['--import', dieAtCall]);
    const { code, signal } = await process.exited;
    const ended = signal === null;
    if (ended) expect([code, process.stderr]).toEqual([0, '']);
    const kept = `${path}.before-restore`;
    const states = statesOf(path);
    const swapped = 'new' in states;
    expect(states).toEqual(swapped ? fresh : old);
    if (swapped) expect(statesOf(kept)).toEqual(old);
    // What the restore made besides goes without it.
    const others = () =>
      readdirSync(home).filter((name) => ![basename(path), basename(kept)].includes(name));
    await eventually(() => expect(others()).toEqual([]));
    if (ended) break;
    steps.push(`${linesOf(process.stdout).at(-1)}${swapped ? ' (swapped)' : ''}`);
    if (!existsSync(kept)) continue;
    // A second try keeps what is there, but not the same database under two names.
    const second = startBackscroll({ ...env, DIE_AT_CALL: '' }, args);
    expect(await second.exited).toMatchObject({ code: 0 });
    expect(statesOf(path)).toEqual(fresh);
    expect(existsSync(`${kept}-2`)).toBe(swapped);
  }
  console.log(`  killed before each of: ${steps.join(', ')}`);
  expect(steps.join()).toMatch(/link.*rm.*rename.*swapped/);
  expect(steps.findLastIndex((step) => !step.includes('swapped'))).toBe(
    steps.lastIndexOf('rename'),
  );
});
