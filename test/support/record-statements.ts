/**
 * Notes every text of a statement that this process sends to MySQL, with values that it was sent with,
 * in a file of the folder that the run gives. The suite `statements` reads them.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, inject } from 'vitest';
import type { Bound, Value } from '../../services/history/store/database.ts';
import { MysqlSession } from '../../services/history/store/mysql-session.ts';

/** A statement as it was sent: a `Bound` that is bytes is written as their hexadecimal digits. */
export interface SentStatement {
  readonly sql: string;
  readonly values: readonly SentValue[];
  /** Sent for each of many values at once, as a UNION. */
  readonly each: boolean;
}

/** A value of a statement, or a list of them. */
export type SentValue = { readonly bytes: string } | number | string | null | readonly SentValue[];

const sent = new Map<string, SentStatement>();

const { rows, rowsOfEach, write } = MysqlSession.prototype;

MysqlSession.prototype.rows = function (sql, values) {
  note(sql, values, false);
  return rows.call(this, sql, values) as never;
};

MysqlSession.prototype.rowsOfEach = function (sql, bindings) {
  const [first] = bindings;
  if (first) note(sql, first, true);
  return rowsOfEach.call(this, sql, bindings) as never;
};

MysqlSession.prototype.write = function (sql, values) {
  note(sql, values, false);
  return write.call(this, sql, values);
};

afterAll(() => {
  const name = `${process.pid}-${performance.now()}.json`;
  writeFileSync(join(inject('statementsFolder'), name), JSON.stringify([...sent.values()]));
});

function note(sql: string, values: readonly Bound[], each: boolean): void {
  if (!sent.has(sql)) sent.set(sql, { sql, values: values.map(written), each });
}

function written(value: Bound): SentValue {
  if (Array.isArray(value)) return value.map(written);
  const single = value as Value;
  if (Buffer.isBuffer(single)) return { bytes: single.toString('hex') };
  return typeof single === 'bigint' ? String(single) : single;
}
