import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  backscrollOnTerminal,
  ended,
  hasScript,
  jsonOf,
  linesOf,
  startBackscroll,
} from '../support/backscroll.ts';
import { eventually } from '../support/eventually.ts';
import { readHeld, untilNothingHeld } from '../support/gauges.ts';
import { startService, type TestService } from '../support/processes.ts';

const used = new AsyncDisposableStack();
let folder: string;
let history: TestService;
let backup: TestService;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'backscroll-cli-'));
  used.defer(() => rm(folder, { recursive: true, force: true }));
  const url = `sqlite:${join(folder, 'history.db')}`;
  history = used.use(await startService('history', { HISTORY_DATABASE_URL: url }));
  const store = `file:${join(folder, 'backups')}`;
  backup = used.use(await startService('backup', { BACKUP_STORE_URL: store }));
});

afterAll(() => used.disposeAsync());

/** Starts `backscroll` with these arguments. */
const start = (...args: string[]) => startBackscroll(services(), args);

/** Runs `backscroll` to its end. */
const backscroll = (...args: string[]) => ended(start(...args));

/** Runs `backscroll` with this on its standard input. */
async function withInput(input: string | Buffer, ...args: string[]) {
  const process = start(...args);
  process.child.stdin?.end(input);
  return ended(process);
}

const onTerminal = (env: Record<string, string>, ...args: string[]) =>
  backscrollOnTerminal({ ...services(), ...env }, args);

const services = () => ({
  BACKSCROLL_HISTORY: history.address,
  BACKSCROLL_BACKUP: backup.address,
});

describe('append and sync', () => {
  const pair = ['--user', 'alice', '--peer', 'bob'];

  it('stores a message once under its id, and reads it back', async () => {
    const append = ['append', ...pair, '--id', 'hello-1', 'Hello, Bob'];
    expect(await backscroll(...append)).toMatchObject({ code: 0, stdout: '1\n' });
    const again = await backscroll(...append, '--json');
    expect(jsonOf(again.stdout)).toMatchObject([{ seq: '1', id: 'hello-1', repeated: true }]);
    const other = await backscroll('append', ...pair, '--id', 'hello-1', 'Hello, Bobby');
    expect(other).toMatchObject({ code: 1, stdout: '' });
    expect(other.stderr).toContain('MESSAGE_ID_CONFLICT');

    const lines = await withInput('one\n\ntwo\u2028still two', 'append', ...pair, '-');
    expect(lines).toMatchObject({ code: 0, stdout: '2\n3\n' });

    const read = await backscroll('sync', '--user', 'bob', '--peer', 'alice');
    expect(read.code).toBe(0);
    expect(linesOf(read.stdout)).toEqual([
      expect.stringMatching(/^3 \S+Z alice: two\\u2028still two$/),
      expect.stringMatching(/^2 \S+Z alice: one$/),
      expect.stringMatching(/^1 \S+Z alice: Hello, Bob$/),
    ]);
    expect(read.stderr).toBe('messages: 1 to 3 of 3; revision 0\n');
  });

  it('reads a page as JSON, with its result last', async () => {
    const page = ['sync', ...pair, '--after', '1', '--count', '1', '--order', 'oldest', '--json'];
    const [message, last, ...more] = jsonOf((await backscroll(...page)).stdout);
    expect(message).toMatchObject({ user: 'alice', peer: 'bob', seq: '2', sender: 'alice' });
    expect(last.result).toMatchObject({ count: '1', toSeq: '2', reachedNewest: false });
    expect(more).toEqual([]);
  });

  it('tells how to go on', async () => {
    const { stderr } = await backscroll('sync', ...pair, '--count', '1');
    expect(stderr).toBe('messages: 3 to 3 of 3; older ones: --before 3; revision 0\n');
    const nothing = await backscroll('sync', '--user', 'x', '--peer', 'y');
    expect(nothing).toMatchObject({ code: 0, stdout: '', stderr: 'no messages yet\n' });
  });
});

describe('import and export', () => {
  const room = (id: number, text: string, sender = 'ann') => ({
    ...{ conversation: 'Room/1', kind: 'group', sender, sent_at_ms: 1e12 + id, text, id: `${id}` },
  });
  const direct = (id: number, text: string) => ({
    ...{ conversation: 'A|B', kind: 'direct', sender: 'B', sent_at_ms: -id, text, id: `${id}` },
  });
  const archive = [
    ...[room(1, 'one'), room(2, ''), room(3, 'sep\u2028arator', ''), room(1, 'one')],
    ...[direct(1, 'hi\u0000'), direct(2, '😀'), room(4, 'e\u0301')],
  ];
  const ndjson = archive.map((line) => `${JSON.stringify(line)}\n`).join('');

  it('imports an archive once, however often it is given', async () => {
    const file = join(folder, 'archive.ndjson.gz');
    await writeFile(file, gzipSync(ndjson));
    const first = await backscroll('import', file);
    expect(first).toMatchObject({ code: 0, stderr: '' });
    expect(first.stdout).toBe('messages added: 6, there already: 1\n');
    const second = await withInput(ndjson, 'import', '-', '--json');
    expect(jsonOf(second.stdout)).toEqual([{ batches: 1, added: 0, repeated: 7, skipped: 0 }]);
  });

  it('tells what has expired, and was left out', async () => {
    const line = { group: 'gone', id: '1', sender: 'ann', expiresAtMs: '1000' };
    const { code, stdout } = await withInput(JSON.stringify(line), 'import', '-');
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: 'messages added: 0, there already: 0, expired or too old: 1\n',
    });
  });

  it('exports what import takes back', async () => {
    const file = join(folder, 'room.ndjson');
    expect(await backscroll('export', '--group', 'Room/1', '--output', file)).toMatchObject({
      code: 0,
      stdout: '',
    });
    const exported = await readFile(file, 'utf8');
    expect(jsonOf(exported).map(({ seq, content }) => [seq, content.text])).toEqual([
      ['1', 'one'],
      ['2', undefined],
      ['3', 'sep\u2028arator'],
      ['4', 'e\u0301'],
    ]);
    const again = await backscroll('import', file, '--json');
    expect(jsonOf(again.stdout)).toMatchObject([{ added: 0, repeated: 4 }]);

    const copy = exported.replaceAll('"Room/1"', '"copy"');
    expect((await withInput(copy, 'import', '-')).code).toBe(0);
    expect((await backscroll('export', '--group', 'copy')).stdout).toBe(copy);

    const exists = await backscroll('export', '--group', 'copy', '--output', file);
    expect(exists.code).toBe(2);
    expect(exists.stderr).toContain('--force');
    const forced = await backscroll('export', '--group', 'copy', '-o', file, '--force');
    expect(forced.code).toBe(0);
    expect(await readFile(file, 'utf8')).toBe(copy);
  });

  it('names the line at fault, and keeps those before it', async () => {
    const lines = (id: string) => [1, 2, 3].map((n) => ({ ...room(n, 'x'), conversation: id }));
    const input = (...all: unknown[]) => all.map((line) => `${JSON.stringify(line)}\n`).join('');

    const torn = await withInput(`${input(...lines('torn'))}{"conv`, 'import', '-');
    expect(torn.code).toBe(2);
    expect(torn.stderr).toContain('messages added: 3');
    expect(torn.stderr).toContain('standard input:4: not JSON');

    const [one, two] = lines('refused');
    const refused = await withInput(input(one, { ...two, sender: 'b\u0007' }), 'import', '-');
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('standard input:2: sender: ');
    expect(refused.stderr).toContain('INVALID_FIELD');

    const other = await withInput(input(one, { ...one, text: 'another' }), 'import', '-');
    expect(other.code).toBe(1);
    expect(other.stderr).toContain('standard input:2: id: was used before');
  });

  it('ends quietly when its reader has seen enough', async () => {
    const many = Array.from({ length: 20_000 }, (_, index) =>
      JSON.stringify({ ...room(index, 'a rather long text '.repeat(20)), conversation: 'long' }),
    );
    expect((await withInput(many.join('\n'), 'import', '-')).code).toBe(0);
    const process = start('export', '--group', 'long');
    process.child.stdout?.once('data', () => process.child.stdout?.destroy());
    expect(await ended(process)).toMatchObject({ code: 0, stderr: '' });
  });

  it('ends in order when it is interrupted', async () => {
    const process = start('import', '-');
    // A full batch, which is sent before the input has ended.
    const many = Array.from({ length: 5_001 }, (_, index) => ({
      ...room(index, ''),
      conversation: 'held',
    }));
    process.child.stdin?.write(many.map((line) => `${JSON.stringify(line)}\n`).join(''));
    const begun = async () => {
      expect(await readHeld(history.metrics)).toMatchObject({ grpc_server_in_flight: 1 });
    };
    await eventually(begun);
    process.child.kill('SIGINT');
    const { code, stderr } = await ended(process);
    expect(code).toBe(130);
    expect(stderr).toContain('Interrupted');
    await untilNothingHeld(history.metrics, AbortSignal.timeout(60_000));
  });
});

describe('backup', () => {
  const alice = ['--user', 'alice'];
  const app = 'examples/app.db';

  it('tells that there was never a backup', async () => {
    const age = await backscroll('backup', 'age', ...alice);
    expect(age).toMatchObject({ code: 4, stdout: '' });
    const json = await backscroll('backup', 'age', ...alice, '--json');
    expect(json.code).toBe(4);
    expect(jsonOf(json.stdout)).toMatchObject([{ ageSeconds: -1 }]);
    expect(await backscroll('backup', 'list', ...alice)).toMatchObject({ code: 0, stdout: '' });
    const file = join(folder, 'none.db');
    const none = await backscroll('backup', 'download', ...alice, '-o', file);
    expect(none.code).toBe(4);
    expect(await readdir(folder)).not.toContain('none.db');
  });

  it('uploads a database, tells of it, and gives it back', async () => {
    const upload = ['backup', 'upload', app, ...alice, '--raw', '--label', 'phone', '--json'];
    const [first] = jsonOf((await backscroll(...upload)).stdout);
    expect(first).toMatchObject({ backup: { label: 'phone' }, unchanged: false });
    const [second] = jsonOf((await backscroll(...upload)).stdout);
    expect(second.unchanged).toBe(true);

    const age = await backscroll('backup', 'age', ...alice);
    expect(age.code).toBe(0);
    expect(age.stdout).toMatch(/^\d+ s \(backup \d+ of \S+Z\)\n$/);
    const listed = jsonOf((await backscroll('backup', 'list', ...alice, '--json')).stdout);
    expect(listed.map(({ number }) => number)).toEqual([second.backup.number, first.backup.number]);

    const file = join(folder, 'restored.db');
    const download = ['backup', 'download', ...alice, '--output', file];
    expect((await backscroll(...download)).code).toBe(0);
    const original = await readFile(app);
    expect((await readFile(file)).equals(original)).toBe(true);
    expect((await backscroll(...download)).code).toBe(2);
    expect((await backscroll(...download, '--force')).code).toBe(0);
    const onto = await backscroll('backup', 'download', ...alice, '--force', '-o', folder);
    expect(onto.code).toBe(2);
    expect(onto.stderr).toContain(`${folder} is a directory`);

    const piped = start('backup', 'download', ...alice, '--output', '-');
    const hash = createHash('sha256');
    piped.child.stdout?.removeAllListeners('data').setEncoding('latin1');
    piped.child.stdout?.on('data', (text: string) => hash.update(text, 'latin1'));
    expect((await piped.exited).code).toBe(0);
    expect(hash.digest('hex')).toBe(createHash('sha256').update(original).digest('hex'));
  });

  it('verifies a backup, and tells by its exit code where that did not pass', async () => {
    const database = ['--user', 'alice', '--database', 'verified'];
    const waited = await backscroll('backup', 'upload', app, ...database, '--verify');
    expect(waited.stdout).toMatch(/^Backup 1: .+, verified\n$/);
    const verified = await backscroll('backup', 'verify', ...database);
    expect(verified).toMatchObject({ code: 0, stdout: 'Backup 1: verified\n' });

    const corrupt = await readFile(app);
    corrupt.fill(0xaa, 4_096, 8_192);
    const file = join(folder, 'corrupt.db');
    await writeFile(file, corrupt);
    const upload = ['backup', 'upload', file, ...database, '--raw', '--verify', '--json'];
    const failed = await backscroll(...upload);
    expect([failed.code, failed.stderr]).toEqual([5, expect.stringContaining('did not pass')]);
    const [{ backup }] = jsonOf(failed.stdout);
    expect(backup.verification).toMatchObject({ reason: 'CORRUPT' });
    const again = await backscroll('backup', 'verify', ...database);
    expect(again.code).toBe(5);
    expect(again.stdout).toMatch(/^Backup 2: failed: CORRUPT, .+\n$/);
    const listed = linesOf((await backscroll('backup', 'list', ...database)).stdout);
    expect(listed).toEqual([
      expect.stringMatching(/^ +2 .+ failed/),
      expect.stringMatching(/^ +1 .+ verified/),
    ]);
  });

  it('refuses what is no database', async () => {
    const none = await backscroll('backup', 'upload', 'package.json', ...alice);
    expect(none.code).toBe(2);
    expect(none.stderr).toContain('NOT_A_DATABASE');
  });
});

describe('usage', () => {
  it('has help with examples for every command', async () => {
    const { stdout, code } = await backscroll('--help');
    expect(code).toBe(0);
    expect(stdout).toContain('Exit codes:');
    const names = ['sync', 'append', 'import', 'export', 'group', 'backup', 'device'];
    const commands = names.map((name) => [name]);
    const backups = ['upload', 'restore', 'download', 'list', 'age'].map((name) => [
      'backup',
      name,
    ]);
    const check = async (command: string[]) => {
      const help = await backscroll(...command, '--help');
      expect(help.code).toBe(0);
      expect(help.stdout).toContain(`Examples:\n  backscroll ${command.join(' ')}`);
    };
    await Promise.all([...commands, ...backups].map(check));
  });

  it.each([
    [[], 2, 'Usage:'],
    [['nonsense'], 2, 'unknown command'],
    [['sync', '--user', 'a'], 2, '--user NAME --peer NAME'],
    [['sync', '--user', 'a', '--peer', 'b', '--count', '-1'], 2, 'not a whole number'],
    [['import', '/no/such/file'], 2, 'no such file'],
    [['backup', 'upload', '.', '--user', 'a', '--key-file', '.'], 2, 'it is a folder'],
    [['backup', 'show', '--user', 'a', '--number', '0'], 2, 'from 1 up'],
    [['backup', 'age'], 2, '--user'],
    [['backup', 'age', '--user', 'a', '--backup', 'http://x y'], 2, '--backup: no address'],
    [['sync', '--user', 'a', '--peer', 'b', '--history', 'x'], 2, '--history: no address'],
    [['sync', '--user', 'a', '--peer', 'b', '--timeout', '0.001'], 3, '--timeout'],
    [['sync', '--user', 'a', '--peer', 'b', '--history', 'localhost:1'], 3, 'npm start'],
  ] as const)('ends %j with %i', async (args, code, said) => {
    const result = await backscroll(...args);
    expect(result.code).toBe(code);
    expect(result.stdout).toBe('');
    expect(result.stderr).toContain(said);
  });

  it.skipIf(!hasScript)('shows colours and bars on a terminal (by `script`)', async () => {
    const sync = ['sync', '--user', 'alice', '--peer', 'bob'];
    const coloured = await onTerminal({}, ...sync);
    expect(coloured).toContain('\u001b[2m1 ');
    expect(coloured).toContain(' \u001b[1malice\u001b[22m: Hello, Bob');
    const plain = await onTerminal({ NO_COLOR: '1' }, ...sync);
    expect(plain).not.toContain('\u001b');
    expect(plain).toMatch(/1 \S+Z alice: Hello, Bob/);

    const upload = ['backup', 'upload', 'examples/app.db', '--user', 'terminal'];
    const shown = await onTerminal({}, ...upload);
    expect(shown).toMatch(/Uploading .* 100% (\S+ KiB) of \1/);
    expect(shown).toMatch(/Backup \d+: /);
  });

  it('shows no colours and no bars where no terminal is', async () => {
    const { stdout, stderr } = await backscroll('sync', '--user', 'alice', '--peer', 'bob');
    expect(stdout + stderr).not.toContain('\u001b');
  });
});
