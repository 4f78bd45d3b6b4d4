import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Random } from './random.ts';

/**
 * Small SQLite files of the project's own, by name: valid ones of all page sizes, encodings and modes
 * of vacuuming. For machines that have no BACKSCROLL_CORPUS.
 */
export function goodDatabases(): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  for (const pageSize of [512, 1_024, 2_048, 4_096, 8_192, 16_384, 32_768, 65_536]) {
    files.set(`pages-of-${pageSize}.db`, makeDatabase(`PRAGMA page_size = ${pageSize}`));
  }
  for (const encoding of ['UTF-16le', 'UTF-16be']) {
    files.set(`${encoding}.db`, makeDatabase(`PRAGMA encoding = "${encoding}"`));
  }
  for (const mode of ['FULL', 'INCREMENTAL']) {
    files.set(`vacuum-${mode}.db`, makeDatabase(`PRAGMA auto_vacuum = ${mode}`));
  }
  return files;
}

/** Damaged and false SQLite files, by name, made from the good ones. */
export function badDatabases(): Map<string, Buffer> {
  const random = new Random(7);
  const files = new Map<string, Buffer>();
  for (const [name, good] of goodDatabases()) {
    files.set(`cut-${name}`, good.subarray(0, good.length - 100));
    files.set(`header-only-${name}`, good.subarray(0, 100));
    files.set(`without-header-${name}`, good.subarray(100));
    const damaged = Buffer.from(good);
    for (let i = 0; i < 200; i++) damaged[random.between(100, good.length - 1)] = random.uint32();
    files.set(`damaged-${name}`, damaged);
    const lying = Buffer.from(good);
    lying.writeUInt16BE(random.pick([0, 3, 1_000, 65_535]), 16);
    files.set(`page-size-${name}`, lying);
  }
  files.set('noise.db', Buffer.from(random.bytes(100_000)));
  files.set('one-byte.db', Buffer.from([0]));
  files.set('magic-alone.db', Buffer.from('SQLite format 3\0'));
  return files;
}

function makeDatabase(pragma: string): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'backscroll-small-'));
  try {
    const path = join(folder, 'small.db');
    const database = new DatabaseSync(path);
    database.exec(`${pragma}; CREATE TABLE message (id INTEGER PRIMARY KEY, text TEXT)`);
    const insert = database.prepare('INSERT INTO message (text) VALUES (?)');
    database.exec('BEGIN');
    for (let i = 0; i < 500; i++) insert.run(`message ${i} ${'äöü '.repeat(i % 50)}`);
    database.exec('COMMIT; DELETE FROM message WHERE id % 3 = 0');
    database.close();
    return readFileSync(path);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
