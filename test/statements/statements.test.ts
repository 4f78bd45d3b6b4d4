import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Connection, createConnection } from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { TABLES } from '../../services/history/store/tables.ts';
import { migrated } from '../contract/history/engines.ts';
import { freshDatabase } from '../support/databases.ts';
import type { SentStatement, SentValue } from '../support/record-statements.ts';
import { BUSY, fill, LARGE } from './large-database.ts';

/** The tests' own looks at whole tables, their own table, and the list of migrations. */
const NOT_THE_SERVICE = /^\/\* a test \*\/|^SELECT \* FROM |\b(schema_migration|thing)\b/;

/** What the service sent to MySQL while the suites before this one ran. */
const statements = sentStatements().filter(({ sql }) => !NOT_THE_SERVICE.test(sql));

/**
 * Statements of the sweeps alone may read small tables from their beginning, in keyset pages: those
 * that begin with one of these.
 */
const SWEEPS = [/^SELECT [^;]* FROM (pending|expiry|change_log|erasure|conversation)\b/];

/** Forms that a sharded engine refuses, or that cost more the longer a conversation is. */
const BANNED: Readonly<Record<string, RegExp>> = {
  offset: /\bOFFSET\b/i,
  count: /\bCOUNT\s*\(/i,
  window: /\bOVER\s*\(/i,
  'skip locked': /\bSKIP LOCKED\b/i,
  nowait: /\bNOWAIT\b/i,
  savepoint: /\bSAVEPOINT\b/i,
  fulltext: /\bMATCH\s*\(/i,
  'several statements': /;/,
  'unbound limit': /\bLIMIT\s+\?/i,
};

it('has statements to look at', () => {
  // None: the suites that send them did not run before; `npm test` does so.
  expect(statements.length).toBeGreaterThan(60);
});

describe('every statement', () => {
  it.each(Object.entries(BANNED))('is free of: %s', (_name, form) => {
    expect(statements.map(({ sql }) => sql).filter((sql) => form.test(sql))).toEqual([]);
  });

  it('names the leading key of every table that it touches', () => {
    const strays = statements
      .filter(({ sql }) => !isSweep(sql))
      .filter(({ sql }) => !tablesOf(sql).every((table) => namesKey(sql, table)));
    expect(strays.map(({ sql }) => sql)).toEqual([]);
  });
});

describe('on MySQL, over a large conversation', () => {
  const stack = new AsyncDisposableStack();
  let connection: Connection;

  beforeAll(async () => {
    const database = stack.use(await freshDatabase(inject('mysqlUrl')));
    await migrated(stack, database.url);
    await fill(database.url);
    connection = await createConnection({ uri: database.url });
    stack.defer(() => connection.end());
  });
  afterAll(() => stack.disposeAsync());

  it('no statement scans a table, sorts or makes a temporary one', async () => {
    const faults: string[] = [];
    for (const statement of statements) {
      for (const step of await explained(connection, statement)) {
        const fault = faultOf(step, isSweep(statement.sql));
        if (fault) faults.push(`${fault} of ${step.table}: ${statement.sql.replace(/\s+/g, ' ')}`);
      }
    }
    expect(faults).toEqual([]);
  });
});

interface Step {
  readonly table: string | null;
  readonly type: string | null;
  readonly rows: number | null;
  readonly Extra: string | null;
}

async function explained(connection: Connection, statement: SentStatement): Promise<Step[]> {
  const { sql, each } = statement;
  const values = likely(statement);
  const text = each ? `(${sql}) UNION ALL (${sql})` : sql;
  const [rows] = await connection.query(
    `EXPLAIN FORMAT=TRADITIONAL ${text}`,
    each ? [...values, ...values] : values,
  );
  return rows as Step[];
}

/** Reading an index from one end to the other is a scan, too; a sweep stops after its page. */
function faultOf({ type, Extra }: Step, sweep: boolean): string | undefined {
  if (type === 'ALL' || (type === 'index' && !sweep)) return 'a scan';
  if (/filesort/.test(Extra ?? '')) return 'a sort';
  return /temporary/.test(Extra ?? '') ? 'a temporary table' : undefined;
}

/** Its values, with the names of a test's own conversations and users put in place of those of the large database. */
function likely({ sql, values }: SentStatement): unknown[] {
  const columns = [...sql.matchAll(/(\w+)\s*(?:=|<=|>=|<|>|IN|BETWEEN)?\s*\(?\?/g)].map(
    ([, name]) => name,
  );
  return values.map((value, index) => replaced(value, columns[index] ?? ''));
}

function replaced(value: SentValue, column: string): unknown {
  if (Array.isArray(value))
    return value.length === 0 ? [null] : value.map((one) => replaced(one, column));
  if (value === null || typeof value !== 'object') return value;
  const { bytes } = value as { bytes: string };
  if (column === 'user_name' || column === 'sender') return BUSY;
  if (column === 'message_id') return Buffer.from('m20000');
  if (column === 'thread') return Buffer.from('t1');
  return bytes.length === LARGE.id.length * 2 ? LARGE.id : Buffer.from(bytes, 'hex');
}

function isSweep(sql: string): boolean {
  return SWEEPS.some((form) => form.test(sql.trim())) && !/conversation_id (=|IN)/.test(sql);
}

function tablesOf(sql: string): string[] {
  const named = [...sql.matchAll(/\b(?:FROM|JOIN|UPDATE|INTO)\s+(\w+)/g)].map(([, name]) => name!);
  return [...new Set(named)];
}

/** Whether the leading key column of a table is held to a value, or to some. */
function namesKey(sql: string, table: string): boolean {
  const key = TABLES.find(({ name }) => name === table)?.key[0];
  if (key === undefined) return true; // the migrations' own
  return new RegExp(`\\b${key}\\s*(=|IN)\\s`).test(sql);
}

function sentStatements(): SentStatement[] {
  const folder = inject('statementsFolder');
  const byText = new Map<string, SentStatement>();
  for (const name of readdirSync(folder)) {
    const sent = JSON.parse(readFileSync(join(folder, name), 'utf8')) as SentStatement[];
    for (const statement of sent) byText.set(statement.sql, statement);
  }
  return [...byText.values()];
}
