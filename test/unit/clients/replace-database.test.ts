import { lstatSync, readFileSync, renameSync } from 'node:fs';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, test } from 'vitest';
import { replaceDatabase } from '../../../clients/backup/replace-database.ts';

/** Makes a database that holds `text`. */
function make(path: string, text: string): void {
  using database = new DatabaseSync(path);
  database.exec('PRAGMA journal_mode = WAL; CREATE TABLE said (text TEXT)');
  database.prepare('INSERT INTO said VALUES (?)').run(text);
}

test('a database that another restore has put there meanwhile is not replaced', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'replace-'));
  const at = (name: string) => join(folder.path, name);
  for (const name of ['app.db', 'faster.db', 'fresh.db']) make(at(name), name);
  const replaced = lstatSync(at('app.db'));
  renameSync(at('faster.db'), at('app.db'));
  const there = readFileSync(at('app.db'));
  const replacing = replaceDatabase(at('app.db'), at('fresh.db'), replaced, at('kept.db'));
  await expect(replacing).rejects.toMatchObject({ reason: 'DATABASE_IN_USE' });
  expect(readFileSync(at('app.db')).equals(there)).toBe(true);
  expect(() => lstatSync(at('kept.db'))).toThrow('ENOENT');
  await replaceDatabase(at('app.db'), at('fresh.db'), lstatSync(at('app.db')), at('kept.db'));
  using database = new DatabaseSync(at('app.db'));
  expect(database.prepare('SELECT text FROM said').get()).toEqual({ text: 'fresh.db' });
});
