import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { backscrollAnswering, ended, hasScript, startBackscroll } from '../support/backscroll.ts';
import { startService, type TestService } from '../support/processes.ts';
import { goodDatabases } from '../support/small-databases.ts';

const used = new AsyncDisposableStack();
const key = randomBytes(32);
let service: TestService;
let home: string;
let original: Buffer;

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'backscroll-cli-sealed-'));
  used.defer(() => rmSync(home, { recursive: true, force: true }));
  const store = `file:${join(home, 'backups')}`;
  service = used.use(await startService('backup', { BACKUP_STORE_URL: store }));
  original = goodDatabases().get('pages-of-4096.db')!;
  writeFileSync(at('app.db'), original);
  writeFileSync(at('key'), key);
  writeFileSync(at('passphrase'), 'correct horse\nbattery staple\n');
});

afterAll(() => used.disposeAsync());

const environment = (more = {}) => ({ BACKSCROLL_BACKUP: service.address, ...more });
const at = (name: string) => join(home, name);
const keyFile = () => at('key');
const database = (name: string) => ['--user', 'alice', '--database', name];

const backup = (args: readonly string[], env = {}) =>
  ended(startBackscroll(environment(env), ['backup', ...args]));

/** Writes the database as it was uploaded to a file, and tells whether it came back. */
async function comesBack(name: string, options: readonly string[], env = {}): Promise<boolean> {
  const download = ['download', ...database(name), '--force', '--output', at('back.db')];
  const { code, stderr } = await backup([...download, ...options], env);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return readFileSync(at('back.db')).equals(original);
}

it('seals by a key of a file or the environment, and says what is missing', async () => {
  const upload = ['upload', at('app.db'), '--raw', ...database('one'), '--key-file', keyFile()];
  expect((await backup(upload)).code).toBe(0);
  expect(await comesBack('one', ['--key-file', keyFile()])).toBe(true);
  for (const text of [key.toString('hex'), `${key.toString('base64')}\n`]) {
    expect(await comesBack('one', [], { BACKSCROLL_BACKUP_KEY: text })).toBe(true);
  }
  const restored = await backup(
    ['restore', at('restored.db'), ...database('one'), '--key-file', keyFile()],
    { BACKSCROLL_BACKUP_KEY: 'the file goes first' },
  );
  expect(restored).toMatchObject({ code: 0, stdout: expect.stringContaining('it is whole') });

  const download = ['download', ...database('one'), '--output', at('never.db')];
  const wrong = { BACKSCROLL_BACKUP_KEY: randomBytes(32).toString('hex') };
  for (const [env, message] of [
    [{}, 'Backup 1 is sealed by a key: name it with --key-file'],
    [wrong, 'Backup 1 is sealed by another key'],
    [{ BACKSCROLL_BACKUP_KEY: 'abc' }, 'a key is 32 random bytes'],
  ] as const) {
    expect(await backup(download, env)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining(message),
    });
  }
});

it('seals by a passphrase of a file, and takes another only on purpose', async () => {
  const upload = ['upload', at('app.db'), '--raw', ...database('two')];
  const first = [...upload, '--passphrase-file', at('passphrase')];
  expect((await backup(first)).code).toBe(0);
  expect(await comesBack('two', ['--passphrase-file', at('passphrase')])).toBe(true);
  writeFileSync(at('other'), 'correct hors');
  const slip = [...upload, '--passphrase-file', at('other')];
  const { code, stderr } = await backup(slip);
  expect([code, stderr]).toEqual([2, expect.stringContaining('by another passphrase')]);
  expect((await backup([...slip, '--new-passphrase'])).code).toBe(0);
  expect(await comesBack('two', ['--passphrase-file', at('other')])).toBe(true);
});

it('takes one secret, and asks on a terminal alone', async () => {
  const upload = ['upload', at('app.db'), ...database('three')];
  for (const options of [
    ['--key-file', keyFile(), '--passphrase-file', at('passphrase')],
    ['--key-file', keyFile(), '--passphrase'],
    ['--passphrase'],
    ['--new-passphrase'],
  ]) {
    expect((await backup([...upload, ...options])).code).toBe(2);
  }
  expect((await backup(['list', ...database('three')])).stdout).toBe('');
});

it.skipIf(!hasScript)(
  'asks for a passphrase on a terminal, and shows none (by `script`)',
  async () => {
    const upload = ['backup', 'upload', at('app.db'), '--raw', ...database('four'), '--passphrase'];
    const typed = (lines: string[], args = upload) =>
      backscrollAnswering(environment(), args, lines);
    const slip = await typed(['secret words', 'secret word']);
    expect([slip.code, slip.shown]).toEqual([2, expect.stringContaining('The two differ')]);
    const { code, shown } = await typed(['secret words', 'secret words']);
    expect([code, shown]).toEqual([0, expect.stringContaining('Backup 1:')]);
    expect(slip.shown + shown).not.toContain('secret');
    const download = ['backup', 'download', ...database('four'), '--output', at('typed.db')];
    expect(await typed(['secret words'], [...download, '--passphrase'])).toMatchObject({ code: 0 });
    expect(readFileSync(at('typed.db')).equals(original)).toBe(true);
  },
);
