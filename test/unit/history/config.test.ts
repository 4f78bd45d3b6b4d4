import { tmpdir } from 'node:os';
import { describe, expect, it } from 'vitest';
import { readHistoryConfig } from '../../../services/history/config.ts';

const read = (url: string) => readHistoryConfig({ HISTORY_DATABASE_URL: url }).HISTORY_DATABASE_URL;

describe('the database of the history service', () => {
  it.each([
    'sqlite:./data/history.db',
    'mysql://root@127.0.0.1:3306/backscroll',
    'mysql://user:p%25%3F%23@[::1]/backscroll',
  ])('may be %s', (url) => {
    expect(read(url)).toBe(url);
  });

  it.each([
    ['sqlite:', 'must be sqlite:PATH or mysql:'],
    ['postgres://user@host/db', 'must be sqlite:PATH or mysql:'],
    ['mysql://user:pa/ss@host/db', 'must be sqlite:PATH or mysql:'],
    ['mysql://user@host:70000/db', 'must be sqlite:PATH or mysql:'],
    ['mysql://user@host/', 'must be sqlite:PATH or mysql:'],
    ['mysql://user@host/db?debug=1', 'must end with the database'],
    ['mysql://user:pa#ss@host/db', 'must be sqlite:PATH or mysql:'],
    ['mysql://user@host/db#1', 'must end with the database'],
    ['mysql://user:100%@host/db', 'has a % that escapes nothing'],
    [`sqlite:${tmpdir()}`, 'names a folder'],
  ])('may not be %s', (url, fault) => {
    expect(() => read(url)).toThrow(`HISTORY_DATABASE_URL: ${fault}`);
  });
});

describe('the numbers of the history service', () => {
  it('may be left out, or be whole numbers within their limits', () => {
    expect(readHistoryConfig({ HISTORY_CHANGES_DAYS: '' })).toMatchObject({
      HISTORY_RETENTION_DAYS: 0,
      HISTORY_CHANGES_DAYS: 90,
      HISTORY_SWEEP_SECONDS: 60,
    });
    expect(readHistoryConfig({ HISTORY_RETENTION_DAYS: '3650' }).HISTORY_RETENTION_DAYS).toBe(3650);
  });

  it.each([
    ['HISTORY_RETENTION_DAYS', '-1'],
    ['HISTORY_RETENTION_DAYS', '1.5'],
    ['HISTORY_CHANGES_DAYS', '0'],
    ['HISTORY_SWEEP_SECONDS', 'often'],
  ])('may not have %s be %s', (name, value) => {
    expect(() => readHistoryConfig({ [name]: value })).toThrow(
      `${name}: must be a whole number of`,
    );
  });
});
