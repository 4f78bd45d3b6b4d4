import { randomUUID } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { snapshot } from '../../../clients/backup/snapshot.ts';
import { failureOf } from '../../../clients/backup/sqlite-process.ts';
import { run } from '../../support/command.ts';
import { eventually } from '../../support/eventually.ts';
import { makeAccounts } from '../../support/live-database.ts';
import { TestProcess } from '../../support/processes.ts';
import { badDatabases, goodDatabases } from '../../support/small-databases.ts';

let folder: string;
let path: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'backscroll-snapshot-'));
  path = join(folder, 'app.db');
});

afterEach(() => rmSync(folder, { recursive: true }));

/** What stands in the folder besides the database and what SQLite itself leaves. */
const others = () =>
  readdirSync(folder).filter((name) => !/^app\.db(-wal|-shm|-journal)?$/.test(name));

function rowsOf(file: string): unknown[] {
  const database = new DatabaseSync(file);
  try {
    return database.prepare('SELECT * FROM message').all();
  } finally {
    database.close();
  }
}

describe('a snapshot', () => {
  it.each([...goodDatabases()])(
    'of %s has its rows, and is the same each time',
    async (_, bytes) => {
      writeFileSync(path, bytes);
      await using first = await snapshot(path);
      await using second = await snapshot(path);
      const copies = [first, second].map((copy) => readFileSync(copy.path));
      expect(copies[1]).toEqual(copies[0]);
      expect(copies[0]?.length).toBe(first.sizeBytes);
      expect(rowsOf(first.path)).toEqual(rowsOf(path));
      expect(readFileSync(path)).toEqual(bytes);
    },
  );

  it.each([...badDatabases()])(
    'of %s is a copy or an error, and leaves nothing',
    async (_, bytes) => {
      writeFileSync(path, bytes);
      try {
        await using copy = await snapshot(path);
        expect(copy.sizeBytes).toBeGreaterThan(0);
      } catch (error) {
        expect(error).toMatchObject({
          reason: expect.stringMatching(/^(NOT_A_DATABASE|DATABASE_DAMAGED)$/),
        });
      }
      expect(others()).toEqual([]);
    },
  );

  it('has what stands in the WAL alone, of a program that runs or was killed', async () => {
    const program = new TestProcess([
      '--eval',
      `
      const database = new (require('node:sqlite').DatabaseSync)(${JSON.stringify(path)});
      database.exec("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0");
      database.exec("CREATE TABLE message (text); INSERT INTO message VALUES ('in the WAL')");
      console.log('ready');
      setInterval(() => {}, 1000);`,
    ]);
    await eventually(() => expect(program.stdout).toContain('ready'));
    const rows = [{ text: 'in the WAL' }];
    await using running = await snapshot(path);
    expect(rowsOf(running.path)).toEqual(rows);
    await program.kill();
    expect(existsSync(`${path}-wal`)).toBe(true);
    await using killed = await snapshot(path);
    expect(rowsOf(killed.path)).toEqual(rows);
    expect(readFileSync(killed.path)).toEqual(readFileSync(running.path));
  });

  it('may have any name, is for this user alone, and goes when it is disposed of', async () => {
    const elsewhere = join(folder, 'else where');
    mkdirSync(elsewhere);
    const odd = join(folder, 'ä ?#%20&mode=memory\n.db');
    writeFileSync(odd, goodDatabases().get('pages-of-4096.db') as Buffer);
    symlinkSync(odd, path);
    for (const file of [odd, path]) {
      await using copy = await snapshot(file, { folder: elsewhere });
      expect(rowsOf(copy.path)).toEqual(rowsOf(odd));
      const [name = ''] = readdirSync(elsewhere);
      expect(statSync(join(elsewhere, name)).mode & 0o777).toBe(0o700);
    }
    expect(readdirSync(elsewhere)).toEqual([]);
  });

  it('tells why it can not be made', async () => {
    await expect(snapshot(path)).rejects.toMatchObject({ code: 'ENOENT' });
    expect(existsSync(path)).toBe(false);
    await expect(snapshot(folder)).rejects.toMatchObject({ reason: 'NOT_A_FILE' });
    writeFileSync(path, '');
    await expect(snapshot(path)).rejects.toMatchObject({ reason: 'NOT_A_DATABASE' });
    writeFileSync(path, goodDatabases().get('pages-of-4096.db') as Buffer);
    const missing = join(folder, 'missing');
    await expect(snapshot(path, { folder: missing })).rejects.toMatchObject({ code: 'ENOENT' });
    const database = new DatabaseSync(path);
    database.exec('BEGIN EXCLUSIVE');
    await expect(snapshot(path)).rejects.toMatchObject({ reason: 'DATABASE_BUSY' });
    database.close();
    expect(others()).toEqual([]);
  });

  it('leaves nothing when it can not be written', async () => {
    makeAccounts(path, 'WAL');
    const make = `import { snapshot } from '${resolve('clients/backup/snapshot.ts')}';
      const error = await snapshot(process.argv[1]).catch((error) => error);
      console.log(error.reason);`;
    // The kernel refuses to let files grow over 2 MiB.
    const limited = `trap '' XFSZ; ulimit -f 2048; exec "$@"`;
    const command = [process.execPath, '--input-type=module', '--eval', make, path];
    expect(await run('bash', ['-c', limited, 'bash', ...command])).toBe('SQLITE_FAILED');
    expect(others()).toEqual([]);
    const full = { message: 'full', code: 'ERR_SQLITE_ERROR', sqliteCode: 13 };
    expect(failureOf(path, full)).toMatchObject({ reason: 'DISK_FULL' });
  });

  it('ends with its signal, and leaves nothing', async () => {
    makeAccounts(path, 'WAL');
    const aborted = snapshot(path, { signal: AbortSignal.abort() });
    await expect(aborted).rejects.toMatchObject({ reason: 'CANCELLED' });
    const controller = new AbortController();
    const onProgress = () => controller.abort();
    const midway = snapshot(path, { signal: controller.signal, onProgress });
    await expect(midway).rejects.toMatchObject({ reason: 'CANCELLED' });
    expect(others()).toEqual([]);
  });

  it.each(['midway', 'made'])('goes when the program is killed (%s)', async (when) => {
    makeAccounts(path, 'WAL');
    const program = new TestProcess([
      '--input-type=module',
      '--eval',
      `
      import { snapshot } from '${resolve('clients/backup/snapshot.ts')}';
      const die = () => process.kill(process.pid, 'SIGKILL');
      await snapshot(process.argv[1], ${when === 'midway' ? '{ onProgress: die }' : '{}'});
      die();`,
      path,
    ]);
    expect(await program.exited).toMatchObject({ signal: 'SIGKILL' });
    await eventually(() => expect(others()).toEqual([]));
  });

  it('removes what was left of those that nobody could remove', async () => {
    writeFileSync(path, goodDatabases().get('pages-of-4096.db') as Buffer);
    const long = new Date(Date.now() - 3_600_000);
    await using living = await snapshot(path);
    const left = `${path}.snapshot-${randomUUID()}`;
    const anothers = `${path}.snapshot-of-somebody-else`;
    for (const made of [left, anothers]) {
      mkdirSync(made);
      writeFileSync(join(made, 'app.db'), 'half');
    }
    for (const made of [left, anothers, dirname(living.path)]) utimesSync(made, long, long);
    await using _ = await snapshot(path);
    expect([left, anothers, living.path].map((made) => existsSync(made))).toEqual([
      false,
      true,
      true,
    ]);
  });
});
