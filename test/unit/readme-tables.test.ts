import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readBackupConfig } from '../../services/backup/config.ts';
import { REASONS } from '../../services/common/errors.ts';
import { readHistoryConfig } from '../../services/history/config.ts';

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');

/** The cells of the rows of the first table under a heading, without backticks. */
function table(heading: string): string[][] {
  const section = readme.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';
  return section
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .slice(1)
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim().replace(/^`|`$/g, '')),
    );
}

describe('the README', () => {
  it('tells every reason of an error, and what it means', () => {
    expect(Object.fromEntries(table('Errors'))).toEqual(REASONS);
  });

  it('tells every variable of the configuration, with its default', () => {
    const defaults = { ...readHistoryConfig({}), ...readBackupConfig({}) };
    const rows = table('Configuration').map(([name = '', value = '']) => [name, value] as const);
    expect(rows.map(([name]) => name).sort()).toEqual(Object.keys(defaults).sort());
    const told = Object.fromEntries(rows);
    expect({ ...readHistoryConfig(told), ...readBackupConfig(told) }).toMatchObject(
      Object.fromEntries(Object.entries(defaults).filter(([, value]) => value !== undefined)),
    );
  });
});
