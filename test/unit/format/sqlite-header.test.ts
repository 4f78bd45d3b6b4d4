import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it } from 'vitest';
import { changeUnit, sqlitePageSize } from '../../../clients/format/sqlite-header.ts';

describe('the header of a SQLite database', () => {
  it.each([512, 1024, 4096, 8192, 32_768, 65_536])('tells of pages of %i bytes', (pageSize) => {
    using database = new DatabaseSync(':memory:');
    database.exec(`PRAGMA page_size = ${pageSize}; CREATE TABLE t (x)`);
    const file = database.serialize();
    expect(sqlitePageSize(file)).toBe(pageSize);
    expect(sqlitePageSize(file.subarray(0, 100))).toBe(pageSize);
    expect(sqlitePageSize(file.subarray(0, 99))).toBeUndefined();
  });

  it('is not found where the magic or the page size is wrong', () => {
    const header = Buffer.alloc(100);
    header.write('SQLite format 3\0', 'latin1');
    for (const bytes of [0, 2, 256, 1000, 4097]) {
      header.writeUInt16BE(bytes, 16);
      expect(sqlitePageSize(header)).toBeUndefined();
    }
    header.writeUInt16BE(4096, 16);
    expect(sqlitePageSize(header)).toBe(4096);
    header[0] = 0;
    expect(sqlitePageSize(header)).toBeUndefined();
  });

  it('gives the unit of change, which is 4 KiB or larger', () => {
    expect([512, 4096, 8192, 65_536].map(changeUnit)).toEqual([4096, 4096, 8192, 65_536]);
  });
});
