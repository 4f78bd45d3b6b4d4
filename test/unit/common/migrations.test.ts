import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import {
  type MigrationEngine,
  migrate,
  schemaIsCurrent,
} from '../../../services/common/migrations.ts';

/** An engine in memory that remembers what was run, and fails at statements of the test's choice. */
class MemoryEngine implements MigrationEngine {
  readonly statements: string[] = [];
  readonly names: string[] = [];
  failAt: string | undefined;
  locked = false;

  async lock(): Promise<AsyncDisposable> {
    expect(this.locked).toBe(false);
    this.locked = true;
    return {
      [Symbol.asyncDispose]: async () => {
        this.locked = false;
      },
    };
  }

  async execute(statement: string): Promise<void> {
    expect(this.locked).toBe(true);
    if (statement === this.failAt) throw new Error(`failed at ${statement}`);
    this.statements.push(statement);
  }

  async applied(): Promise<string[]> {
    return [...this.names];
  }

  async record(name: string): Promise<void> {
    this.names.push(name);
  }
}

async function folderOf(files: Record<string, string>) {
  const folder = await mkdtempDisposable(join(tmpdir(), 'migrations-'));
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder.path, name), text);
  return folder;
}

const FILES = {
  '002-more.sql': 'c',
  '001-begin.sql': "a\n  'x;y'; \n\nb;\r\n",
  'README.md': 'no migration',
};

test('applies what is pending in order, statement by statement, once', async () => {
  await using folder = await folderOf(FILES);
  const engine = new MemoryEngine();
  expect(await schemaIsCurrent(engine, folder.path)).toBe(false);
  expect(await migrate(engine, folder.path)).toEqual(['001-begin.sql', '002-more.sql']);
  expect(engine.statements).toEqual(["a\n  'x;y'", 'b', 'c']);
  expect(await schemaIsCurrent(engine, folder.path)).toBe(true);
  expect(await migrate(engine, folder.path)).toEqual([]);
});

test('runs a migration that failed half-way again from its beginning', async () => {
  await using folder = await folderOf(FILES);
  const engine = new MemoryEngine();
  engine.failAt = 'b';
  await expect(migrate(engine, folder.path)).rejects.toThrow('failed at b');
  expect(engine).toMatchObject({ names: [], locked: false });
  engine.failAt = undefined;
  await migrate(engine, folder.path);
  expect(engine.statements).toEqual(["a\n  'x;y'", "a\n  'x;y'", 'b', 'c']);
});

test('a schema of a newer release is current', async () => {
  await using folder = await folderOf({ '001-begin.sql': 'a;' });
  const engine = new MemoryEngine();
  engine.names.push('001-begin.sql', '002-later.sql');
  expect(await schemaIsCurrent(engine, folder.path)).toBe(true);
  expect(await migrate(engine, folder.path)).toEqual([]);
});
