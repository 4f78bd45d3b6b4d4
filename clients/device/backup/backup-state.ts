import { rmSync, statSync } from 'node:fs';
import { isReason } from '../../errors.ts';
import { Sqlite, tryLock } from '../local/sqlite.ts';

/** What is known of the backups of one name. */
export interface BackupRow {
  /** When one was last made; null for never. */
  readonly at_ms: number | null;
  /** Of which database, */
  readonly lineage: string | null;
  /** and after how many of its writes. */
  readonly writes: number | null;
  /** Of an upload that has begun and did not end: with it, the next one need not send all again. */
  readonly upload_id: string | null;
  /** When the schedule next looks whether one is to be made; null before it ever did. */
  readonly due_at_ms: number | null;
  /** How often in a row the schedule has tried in vain. */
  readonly failures: number;
}

/** The name of backups that are files, and nobody uploaded. */
export const LOCAL = '';

const NEVER: BackupRow = {
  ...{ at_ms: null, lineage: null, writes: null, upload_id: null },
  ...{ due_at_ms: null, failures: 0 },
};

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS backup (
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    at_ms INTEGER,
    lineage TEXT,
    writes INTEGER,
    upload_id TEXT,
    due_at_ms INTEGER,
    failures INTEGER NOT NULL,
    PRIMARY KEY (owner, name)
  ) STRICT, WITHOUT ROWID`;

/**
 * What a device knows of its backups, in a small database beside its own, which would change with every
 * backup if it stood in there. Processes share it. It is opened for each use. Where it is missing or
 * damaged, the device knows of no backup, and makes one more; then it is made anew, and by no reading.
 */
export class BackupState {
  readonly path: string;
  readonly #owner: string;

  /** `database`: path of the device's. */
  constructor(database: string, owner: string) {
    this.path = `${database}-state`;
    this.#owner = owner;
  }

  /** What is known of the backups of a name. */
  read(name: string): BackupRow {
    return this.#read((sqlite) => this.#row(sqlite, name)) ?? NEVER;
  }

  /** When the newest backup of any name was made; undefined for never. */
  newestMs(): number | undefined {
    const query = 'SELECT max(at_ms) AS newest FROM backup WHERE owner = ?';
    const row = this.#read((sqlite) => sqlite.get<{ newest: number | null }>(query, this.#owner));
    return row?.newest ?? undefined;
  }

  /** Changes in one transaction what `change` makes of the row; gives it as it is then. */
  update(name: string, change: (row: BackupRow) => Partial<BackupRow>): BackupRow {
    return this.#write((sqlite) => {
      const before = this.#row(sqlite, name);
      const row = { ...before, ...change(before) };
      this.#put(sqlite, name, row);
      return row;
    });
  }

  /** Keeps other processes from what this one does with the state; undefined where one does. */
  lock(): Disposable | undefined {
    return tryLock(`${this.path}-lock`);
  }

  #row(sqlite: Sqlite, name: string): BackupRow {
    const query = 'SELECT * FROM backup WHERE owner = ? AND name = ?';
    return sqlite.get<BackupRow>(query, this.#owner, name) ?? NEVER;
  }

  #put(sqlite: Sqlite, name: string, row: BackupRow): void {
    sqlite.run(
      'INSERT OR REPLACE INTO backup VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
      ...[this.#owner, name, row.at_ms, row.lineage, row.writes],
      ...[row.upload_id, row.due_at_ms, row.failures],
    );
  }

  /** Undefined where there is nothing to be read. */
  #read<T>(work: (sqlite: Sqlite) => T): T | undefined {
    if (!statSync(this.path, { throwIfNoEntry: false })?.size) return undefined;
    try {
      using sqlite = new Sqlite(this.path);
      return work(sqlite);
    } catch (error) {
      if (isUnreadable(error)) return undefined;
      throw error;
    }
  }

  #write<T>(work: (sqlite: Sqlite) => T): T {
    try {
      return this.#writeOnce(work);
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      for (const part of ['', '-journal']) rmSync(`${this.path}${part}`, { force: true });
      return this.#writeOnce(work);
    }
  }

  #writeOnce<T>(work: (sqlite: Sqlite) => T): T {
    using sqlite = new Sqlite(this.path);
    sqlite.exec(SCHEMA);
    return sqlite.transaction(() => work(sqlite));
  }
}

function isUnreadable(error: unknown): boolean {
  return isReason(error, 'DATABASE_DAMAGED') || isReason(error, 'NOT_A_DATABASE');
}
