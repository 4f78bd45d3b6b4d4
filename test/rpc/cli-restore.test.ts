import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  backscrollOnTerminal,
  ended,
  hasScript,
  jsonOf,
  startBackscroll,
} from '../support/backscroll.ts';
import { makeAccounts } from '../support/live-database.ts';
import { badDatabases } from '../support/small-databases.ts';
import { client, home, path, root, service, useBackupHome } from './backup-home.ts';

useBackupHome('app.db');

const environment = () => ({ BACKSCROLL_BACKUP: service.address });
const backup = (...args: string[]) => ended(startBackscroll(environment(), ['backup', ...args]));

/** What stands in the folder of the database. */
const names = () => readdirSync(home).sort();

/** Writes one row, in the mode that the database has, and leaves what `leave` is given meanwhile. */
function write(
  file: string,
  row: string,
  leave: (database: DatabaseSync) => void = () => {},
): void {
  const database = new DatabaseSync(file);
  database.exec('PRAGMA cache_size = 1; CREATE TABLE IF NOT EXISTS row (text)');
  database.prepare('INSERT INTO row VALUES (?)').run(row);
  leave(database);
  database.close();
}

/** Makes the database with one row in its file, and one in a WAL beside it that nobody has open. */
function writeWithWal(inFile: string, inWal: string): void {
  const source = join(root, 'source.db');
  for (const part of ['', '-wal', '-shm']) rmSync(`${source}${part}`, { force: true });
  write(source, inFile, (database) => database.exec('PRAGMA journal_mode = WAL'));
  write(source, inWal, () => {
    for (const part of ['', '-wal']) copyFileSync(`${source}${part}`, `${path}${part}`);
  });
}

function rowsOf(file: string): unknown[] {
  const database = new DatabaseSync(file);
  try {
    return database
      .prepare('SELECT text FROM row')
      .all()
      .map(({ text }) => text);
  } finally {
    database.close();
  }
}

describe('backup upload', () => {
  it('takes what stands in a WAL, and leaves nothing beside the database', async () => {
    writeWithWal('in the file', 'in the WAL');
    const elsewhere = join(home, 'elsewhere');
    mkdirSync(elsewhere);
    const uploaded = await backup('upload', path, '--user', 'wal', '--temp', elsewhere);
    expect(uploaded).toMatchObject({ code: 0, stderr: '' });
    expect(names()).toEqual(['app.db', 'elsewhere']);
    expect(readdirSync(elsewhere)).toEqual([]);
    const again = await backup('upload', path, '--user', 'wal', '--json');
    expect(jsonOf(again.stdout)).toMatchObject([{ unchanged: true }]);
    const copy = join(home, 'copy.db');
    expect((await backup('download', '--user', 'wal', '--output', copy)).code).toBe(0);
    expect(rowsOf(copy)).toEqual(['in the file', 'in the WAL']);
  });

  it('refuses a raw file of which a part stands elsewhere', async () => {
    writeWithWal('in the file', 'in the WAL');
    const raw = ['upload', path, '--user', 'raw', '--raw'];
    const withWal = await backup(...raw);
    expect(withWal.code).toBe(2);
    expect(withWal.stderr).toMatch(/app\.db-wal: close it .* or take a snapshot/);
    rmSync(`${path}-wal`);
    const magic = Buffer.from('d9d505f920a163d7', 'hex');
    writeFileSync(`${path}-journal`, Buffer.concat([magic, Buffer.alloc(504)]));
    const withJournal = await backup(...raw);
    expect(withJournal.code).toBe(2);
    expect(withJournal.stderr).toContain('app.db-journal');
    rmSync(`${path}-journal`);
    const bytes = readFileSync(path);
    expect((await backup(...raw)).code).toBe(0);
    expect(readFileSync(path)).toEqual(bytes);
  });

  it('says what a file is of which no snapshot can be made', async () => {
    writeFileSync(path, badDatabases().get('noise.db') as Buffer);
    const upload = ['upload', path, '--user', 'noise'];
    const none = await backup(...upload);
    expect(none).toMatchObject({ code: 2, stdout: '' });
    expect(none.stderr).toContain('encrypted by itself (NOT_A_DATABASE)');
    expect((await backup(...upload, '--opaque')).code).toBe(0);
    writeFileSync(path, badDatabases().get('header-only-pages-of-4096.db') as Buffer);
    const damaged = await backup(...upload);
    expect(damaged).toMatchObject({ code: 1, stdout: '' });
    expect(damaged.stderr).toContain('DATABASE_DAMAGED');
    expect(names()).toEqual(['app.db']);
  });
});

describe('backup restore', () => {
  const restore = (...args: string[]) => backup('restore', path, '--user', 'restored', ...args);

  beforeAll(async () => {
    const file = join(root, 'new.db');
    write(file, 'new');
    expect((await backup('upload', file, '--user', 'restored')).code).toBe(0);
  });

  it('keeps what it replaces, with its WAL, under a name of its own each time', async () => {
    writeWithWal('old', 'old, in the WAL');
    chmodSync(path, 0o640);
    const before = names();
    const dry = await restore('--dry-run');
    expect(dry.code).toBe(0);
    expect(dry.stdout).toMatch(
      /^Backup \d+ of \S+Z would be .*app\.db: it is whole\nWhat .* would be/,
    );
    expect(names()).toEqual(before);
    const first = await restore('--json');
    const kept = `${path}.before-restore`;
    expect(jsonOf(first.stdout)).toMatchObject([
      { path, keptPath: kept, checked: true, dryRun: false, backup: { user: 'restored' } },
    ]);
    expect(names()).toEqual(['app.db', 'app.db.before-restore']);
    expect(rowsOf(path)).toEqual(['new']);
    expect(statSync(path).mode & 0o777).toBe(0o640);
    write(path, 'written since');
    const second = await restore();
    expect(second.stdout).toContain(`What was there is kept as ${kept}-2\n`);
    expect(rowsOf(path)).toEqual(['new']);
    expect(rowsOf(`${kept}-2`)).toEqual(['new', 'written since']);
    expect(rowsOf(kept)).toEqual(['old', 'old, in the WAL']);
  });

  it('restores where nothing is but the WAL of what was there', async () => {
    writeWithWal('old', 'old, in the WAL');
    rmSync(path);
    expect(jsonOf((await restore('--json')).stdout)).toMatchObject([{ keptPath: null }]);
    expect(names()).toEqual(['app.db']);
    expect(rowsOf(path)).toEqual(['new']);
  });

  it.each([
    ['open in WAL mode', 'PRAGMA journal_mode = WAL; SELECT * FROM row'],
    ['written to', 'BEGIN IMMEDIATE'],
  ])('refuses a database that is %s', async (_, statement) => {
    write(path, 'old', (database) => database.exec(statement.split(';')[0] as string));
    const user = new DatabaseSync(path);
    user.exec(statement);
    for (const refused of await Promise.all([restore(), restore('--dry-run')])) {
      expect(refused).toMatchObject({ code: 2, stdout: '' });
      expect(refused.stderr).toContain('open in another connection or process');
    }
    user.close();
    expect(rowsOf(path)).toEqual(['old']);
    expect((await restore()).code).toBe(0);
    expect(rowsOf(path)).toEqual(['new']);
  });

  it('replaces what SQLite can not read, unless a part of it stands in a WAL', async () => {
    const noise = badDatabases().get('noise.db') as Buffer;
    writeFileSync(path, noise);
    writeFileSync(`${path}-wal`, 'of a database that is encrypted');
    const refused = await restore();
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('app.db-wal');
    expect(readFileSync(path)).toEqual(noise);
    rmSync(`${path}-wal`);
    expect((await restore()).code).toBe(0);
    expect(rowsOf(path)).toEqual(['new']);
    expect(readFileSync(`${path}.before-restore`)).toEqual(noise);
  });

  it('does not put a damaged backup in the place of a database', async () => {
    const damaged = badDatabases().get('damaged-pages-of-4096.db') as Buffer;
    const source = {
      sizeBytes: damaged.length,
      stream: async function* () {
        yield damaged;
      },
    };
    const { backup: kept } = await client.upload(source, { user: 'restored', database: 'damaged' });
    write(path, 'old');
    const refused = await restore('--database', 'damaged', '--number', `${kept.number}`);
    expect(refused).toMatchObject({ code: 1, stdout: '' });
    expect(refused.stderr).toMatch(/Backup 1 is damaged: .* \(DATABASE_DAMAGED\)/);
    expect(names()).toEqual(['app.db']);
    expect(rowsOf(path)).toEqual(['old']);
  });

  it('restores an opaque file, and says that SQLite did not check it', async () => {
    const noise = badDatabases().get('noise.db') as Buffer;
    writeFileSync(path, noise);
    const opaque = ['--user', 'restored', '--database', 'opaque'];
    expect((await backup('upload', path, ...opaque, '--opaque')).code).toBe(0);
    rmSync(path);
    const restored = await backup('restore', path, ...opaque);
    expect(restored.stdout).toContain('SQLite did not check it');
    expect(readFileSync(path)).toEqual(noise);
  });

  it('refuses a link, a folder, and a backup that is not there', async () => {
    symlinkSync(join(home, 'elsewhere.db'), path);
    expect(await restore()).toMatchObject({ code: 2, stdout: '' });
    rmSync(path);
    mkdirSync(path);
    expect((await restore()).stderr).toContain('app.db is a directory');
    const none = await backup('restore', join(home, 'none.db'), '--user', 'nobody');
    expect(none.code).toBe(4);
    expect(names()).toEqual(['app.db']);
    expect(existsSync(join(home, 'elsewhere.db'))).toBe(false);
  });
});

it.skipIf(!hasScript)('shows how far it is on a terminal (by `script`)', async () => {
  makeAccounts(path, 'WAL');
  const shown = await backscrollOnTerminal(environment(), [
    'backup',
    'upload',
    path,
    '--user',
    'bar',
  ]);
  expect(shown).toMatch(/Copying .*% \S+ MiB of .*Uploading .* 100% (\S+ MiB) of \1/s);
  const back = await backscrollOnTerminal(environment(), [
    'backup',
    'restore',
    path,
    '--user',
    'bar',
  ]);
  expect(back).toMatch(/Downloading .* 100% (\S+ MiB) of \1/);
});
