import { mkdtempDisposableSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { HistoryClient } from '../../clients/history/history-client.ts';
import {
  backscrollPressing,
  ended,
  hasScript,
  jsonOf,
  linesOf,
  startBackscroll,
} from '../support/backscroll.ts';
import { FileServer, sha256Of, whole } from '../support/file-server.ts';
import { startService } from '../support/processes.ts';

const used = new AsyncDisposableStack();
const home = used.use(mkdtempDisposableSync(join(tmpdir(), 'backscroll-cli-device-'))).path;
let client: HistoryClient;
let files: FileServer;
let environment: Record<string, string>;

beforeAll(async () => {
  const [history, backup] = await Promise.all([
    startService('history', { HISTORY_DATABASE_URL: `sqlite:${join(home, 'history.db')}` }),
    startService('backup', { BACKUP_STORE_URL: `file:${join(home, 'backups')}` }),
  ]);
  used.use(history);
  used.use(backup);
  client = used.use(new HistoryClient(history.address));
  files = used.use(await FileServer.start());
  environment = { BACKSCROLL_HISTORY: history.address, BACKSCROLL_BACKUP: backup.address };
});

afterAll(() => used.disposeAsync());

const at = (name: string) => join(home, name);
const device = (...args: string[]) => ended(startBackscroll(environment, ['device', ...args]));

/** Runs a device's command to its good end. */
async function done(...args: string[]) {
  const result = await device(...args);
  expect(result.code, result.stderr).toBe(0);
  return result;
}

const json = async (...args: string[]) => jsonOf((await done(...args, '--json')).stdout);

/** A user's device. */
const of = (user: string, file = `${user}.db`) => ['--user', user, '--database', at(file)];

/** Where no service is. */
const AWAY = ['--history', 'localhost:1'];

/** `count` messages of two users by turns, `1` to `count` by their texts. */
async function chat(user: string, peer: string, count: number): Promise<void> {
  const messages = Array.from({ length: count }, (_, n) => ({
    sender: n % 2 === 0 ? user : peer,
    content: { text: `${n + 1}` },
  }));
  await client.append({ user, peer, messages });
}

const texts = (lines: { text: string }[]) => lines.map(({ text }) => text);
const fall = (from: number, to: number) =>
  Array.from({ length: from - to + 1 }, (_, n) => `${from - n}`);

describe('reading', () => {
  const ann = [...of('ann'), '--peer', 'ben'];
  beforeAll(() => chat('ann', 'ben', 120));

  it('begins with an empty database, and fetches what is read', async () => {
    const opened = await done('open', ...of('ann'));
    expect(opened.stdout).toMatch(
      /ann\.db: \S+ KiB, of ann\ninbox: 0 conversations; messages: 0 held, 0 unread, 0 to be sent\n$/,
    );
    expect(await done('read', ...ann, '--offline')).toMatchObject({
      ...{ stdout: '', stderr: 'no messages\n' },
    });
    const { stdout, stderr } = await done('read', ...ann, '--count', '2');
    expect(linesOf(stdout)).toEqual([
      expect.stringMatching(/^120 \S+Z ben: 120$/),
      expect.stringMatching(/^119 \S+Z ann: 119( \(\w+\))?$/),
    ]);
    expect(stderr).toBe('there is more: --all, or a larger --count; 2 held here, 1 unread\n');
    const page = await json('read', ...ann);
    expect(texts(page.slice(0, -1))).toEqual(fall(120, 71));
    expect(page[0]).toMatchObject({ peer: 'ben', seq: 120, sender: 'ben', status: 'received' });
    expect(page.at(-1)).toEqual({ result: { count: 50, reachedEnd: false } });
  });

  it('goes on to the beginning, and knows it without a connection', async () => {
    const all = await json('read', ...ann, '--all', '--count', '50');
    expect(texts(all.slice(0, -1))).toEqual(fall(120, 1));
    expect(all.at(-1)).toEqual({ result: { count: 120, reachedEnd: true } });
    const offline = await done('read', ...ann, '--offline', '--all', ...AWAY);
    expect(linesOf(offline.stdout)).toHaveLength(120);
    expect(offline.stderr).toBe('that is all the device holds; 120 held here, 1 unread\n');
    const [opened] = await json('open', ...of('ann'));
    expect(opened).toEqual({
      ...{ database: at('ann.db'), user: 'ann', sizeBytes: expect.any(Number) },
      ...{ inbox: 0, stored: 120, unread: 1, waiting: 0 },
    });
  });

  it('prints what the device holds where it reaches no service', async () => {
    const { code, stdout, stderr } = await device('read', ...ann, '--count', '3', ...AWAY);
    expect(code).toBe(3);
    expect(linesOf(stdout)).toHaveLength(3);
    expect(stderr).toContain("Can't reach the history service at localhost:1");
    const none = await device('read', ...of('ann'), '--peer', 'zoe', ...AWAY);
    expect(none).toMatchObject({ code: 3, stdout: '' });
  });

  it('reads what is picked, and tells others what was read', async () => {
    const unread = await json('read', ...ann, '--unread', '--receipts');
    expect(unread).toMatchObject([{ seq: 120 }, { result: { count: 1, reachedEnd: true } }]);
    const { result } = await client.sync({ user: 'ben', peer: 'ann', count: 1 }).collect();
    expect(result.peerMarks?.readSeq).toBe(120n);
    const oldest = await json('read', ...ann, '--oldest-first', '--count', '2');
    expect(texts(oldest.slice(0, -1))).toEqual(['1', '2']);
    const calls = await done('read', ...ann, '--kind', 'call');
    expect(calls).toMatchObject({ stdout: '', stderr: 'no messages\n' });
  });

  it('lists the inbox', async () => {
    await client.append({ user: 'cat', peer: 'ann', messages: [{ content: { text: 'Meow' } }] });
    const inbox = await done('inbox', ...of('ann'));
    expect(linesOf(inbox.stdout)).toEqual([
      expect.stringMatching(/^ {4}1 {2}cat 1 \S+Z cat: Meow$/),
      expect.stringMatching(/^ {7}ben 120 \S+Z ben: 120$/),
    ]);
    expect(inbox.stderr).toBe('these are all\n');
    const [cat, result] = await json('inbox', ...of('ann'), '--unread', '--offline');
    expect(cat).toMatchObject({
      ...{ peer: 'cat', title: '', state: 'pair', unread: 1, lastSeq: 1 },
      ...{ marks: { readSeq: 0, deliveredSeq: expect.any(Number) }, lastMessage: { text: 'Meow' } },
    });
    expect(result).toEqual({ result: { count: 1, reachedEnd: true } });
  });

  it.skipIf(!hasScript)('scrolls up by a key on a terminal (by `script`)', async () => {
    const read = ['device', 'read', ...of('ann', 'terminal.db'), '--peer', 'ben', '-n', '50'];
    const { code, shown } = await backscrollPressing(environment, read, [' ', 'x ']);
    expect(code).toBe(0);
    const seqs = [...shown.matchAll(/(\d+) \S+Z/g)].map(([, seq]) => seq);
    expect(seqs).toEqual(fall(120, 1));
    expect(shown).toContain('that is the beginning');
    const left = await backscrollPressing(environment, read, ['q']);
    expect(left.code).toBe(0);
    expect(left.shown).not.toMatch(/\b70 \S+Z/);
    expect(await backscrollPressing(environment, read, ['\u0003'])).toMatchObject({ code: 130 });
  });
});

describe('sending', () => {
  const dan = [...of('dan'), '--peer', 'eve'];

  it('sends, or keeps what waits for a connection', async () => {
    expect((await done('send', ...dan, '--id', 'one', 'One')).stdout).toBe('one: sent, seq 1\n');
    const waits = await done('send', ...dan, '--id', 'two', 'Two', ...AWAY);
    expect(waits.stdout).toContain('two: waits in the outbox');
    expect(await json('send', ...dan, '--id', 'three', 'Three', ...AWAY)).toEqual([
      { id: 'three', status: 'outbox' },
    ]);
    const read = await done('read', ...dan, '--offline');
    expect(linesOf(read.stdout)).toEqual([
      expect.stringMatching(/^- \S+Z dan: Three \(waits\)$/),
      expect.stringMatching(/^- \S+Z dan: Two \(waits\)$/),
      expect.stringMatching(/^1 \S+Z dan: One$/),
    ]);
    expect(read.stderr).toContain('2 in the outbox: `device send` sends what waits');
    expect(await device('send', ...of('dan'), ...AWAY)).toMatchObject({ code: 3, stdout: '' });
    expect(await json('send', ...of('dan'))).toEqual([
      { id: 'two', status: 'sent', seq: 2 },
      { id: 'three', status: 'sent', seq: 3 },
    ]);
  });

  it('keeps what was refused, until it is sent again or removed', async () => {
    const group = ['--group', 'closed'];
    const created = ['group', 'create', '--user', 'owner', ...group];
    expect(await ended(startBackscroll(environment, created))).toMatchObject({ code: 0 });
    const refused = await device('send', ...of('dan'), ...group, '--id', 'no', 'Let me in');
    expect(refused).toMatchObject({ code: 1, stdout: 'no: refused (NOT_A_MEMBER)\n' });
    expect(refused.stderr).toContain('--retry ID sends it again, --discard ID removes it');
    const read = await done('read', ...of('dan'), ...group, '--offline');
    expect(read.stdout).toMatch(/^- \S+Z dan: Let me in \(refused\)\n$/);
    const added = ['group', 'add', ...group, '--user', 'owner', 'dan'];
    expect(await ended(startBackscroll(environment, added))).toMatchObject({ code: 0 });
    expect((await done('send', ...of('dan'), '--retry', 'no')).stdout).toBe('no: sent, seq 1\n');
    expect(await device('send', ...of('dan'), '--discard', 'no')).toMatchObject({ code: 4 });
  });
});

describe('backups', () => {
  const fay = of('fay');
  const say = (text: string) => done('send', ...fay, '--peer', 'gus', text);

  it('backs up to files, and restores them for the same user alone', async () => {
    await say('one');
    expect((await done('backup', ...fay)).stdout).toContain(`Backed up to ${at('backup.db')}: `);
    const [backup] = await json('backup', at('copy.db'), ...fay);
    expect(backup).toEqual({ path: at('copy.db'), sizeBytes: readFileSync(at('copy.db')).length });

    const other = await device('restore', at('copy.db'), ...of('gus', 'of-gus.db'), '--json');
    expect(other).toMatchObject({ code: 2, stdout: '{"code":-5}\n' });
    expect(other.stderr).toContain("it is another user's");
    const missing = await device('restore', at('none.db'), ...fay);
    expect(missing).toMatchObject({ code: 4, stdout: '' });
    expect(missing.stderr).toContain('there is no such file (-1)');
    expect(await device('restore', 'package.json', ...fay)).toMatchObject({ code: 2 });

    const fresh = of('fay', 'fresh.db');
    expect(await json('restore', at('copy.db'), ...fresh)).toEqual([{ code: 0 }]);
    const read = await json('read', ...fresh, '--peer', 'gus', '--offline');
    expect(texts(read.slice(0, -1))).toEqual(['one']);
  });

  it('uploads what changed, tells the ages, and restores the newest', async () => {
    expect((await done('age', ...fay)).stdout).toMatch(
      /first made: \d+ s ago\nbackup, made here: \d+ s ago\nbackup, at the service: never\n$/,
    );
    expect((await done('backup', ...fay, '--upload')).stdout).toMatch(/^Backup 1: .* sent, /);
    const [again] = await json('backup', ...fay, '--upload');
    expect(again).toMatchObject({ unchanged: true, backup: { number: '2' } });
    const [ages] = await json('age', ...fay, '--offline');
    expect(ages).toEqual({
      ...{ databaseAge: expect.any(Number), backupAge: expect.any(Number) },
      serverBackupAge: null,
    });
    const latest = of('fay', 'latest.db');
    expect((await done('restore', '--latest', ...latest)).stdout).toBe(
      'The backup is the database now\n',
    );
    expect(await json('open', ...latest)).toMatchObject([{ stored: 1 }]);
    const none = await device('restore', '--latest', ...of('nobody'));
    expect(none.code).toBe(4);
    expect(none.stderr).toContain('BACKUP_NOT_FOUND');
  });

  it('seals nothing less than before unless told so', async () => {
    const sealed = [...fay, '--name', 'sealed'];
    const env = { ...environment, BACKSCROLL_BACKUP_KEY: 'ab'.repeat(32) };
    const upload = ['device', 'backup', ...sealed, '--upload'];
    expect(await ended(startBackscroll(env, upload))).toMatchObject({ code: 0 });
    const forgotten = await device('backup', ...sealed, '--upload');
    expect(forgotten.code).toBe(2);
    expect(forgotten.stderr).toContain('backup 1 is sealed');
    expect(await device('restore', '--latest', ...sealed)).toMatchObject({ code: 2 });
    await done('backup', ...sealed, '--upload', '--plain');
  });

  it('uploads on a schedule, once or until it is interrupted', async () => {
    await say('two');
    const schedule = ['schedule', ...fay, '--name', 'scheduled', '--every', '1s'];
    expect((await done(...schedule, '--once')).stdout).toMatch(/^Backup 1: /);
    expect(await json(...schedule, '--once')).toEqual([{ unchanged: true }]);
    const broken = await device(...schedule, '--once', '--plain', '--backup', 'localhost:1');
    expect(broken).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('nothing was written'),
    });

    await using running = startBackscroll(environment, ['device', ...schedule]);
    await say('three');
    await vi.waitFor(() => expect(running.stdout).toMatch(/^Backup 2: .* sent, /m), 30_000);
    expect(await running.kill('SIGINT')).toMatchObject({ code: 130 });
    await say('four');
    const failed = await device(...schedule, '--once', '--plain', '--backup', 'localhost:1');
    expect(failed).toMatchObject({ code: 3, stdout: '' });
  });
});

it('lists files, and fetches them a few at a time', async () => {
  const bytes = ['first', 'second'].map((text) => Buffer.from(text.repeat(1_000)));
  const sent = bytes.map((content, n) => ({
    url: files.put(`/${n}`, whole(content)),
    ...{ name: `${n}.txt`, sizeBytes: BigInt(content.length), sha256: sha256Of(content) },
  }));
  const gone = { url: files.url('/gone'), name: 'gone' };
  const messages = [...sent.map((file) => [file]), [gone]].map((file) => ({
    content: { files: file },
  }));
  await client.append({ user: 'hal', peer: 'ida', messages });
  const chat = [...of('ida'), '--peer', 'hal'];

  const listed = await done('files', ...chat);
  expect(linesOf(listed.stdout)).toEqual([
    expect.stringMatching(/^3 0 absent +\? {2}gone$/),
    expect.stringMatching(/^2 0 absent +5\.9 KiB {2}1\.txt$/),
    expect.stringMatching(/^1 0 absent +4\.9 KiB {2}0\.txt$/),
  ]);
  expect(files.asked).toEqual([]);
  const [one] = await json('files', '2', ...chat, '--fetch');
  expect(one).toMatchObject({ peer: 'hal', seq: 2, position: 0, state: 'present', name: '1.txt' });
  expect(readFileSync(one.path)).toEqual(bytes[1]);
  const rest = await device('files', ...chat, '--fetch', '--all', '--json');
  expect(rest.code).toBe(1);
  expect(rest.stderr).toContain('one file was not fetched');
  expect(jsonOf(rest.stdout)).toMatchObject([
    { seq: 3, state: 'refused', reason: 'FILE_GONE' },
    { seq: 2, state: 'present' },
    { seq: 1, state: 'present', receivedBytes: bytes[0]?.length },
    { result: { count: 3, reachedEnd: true } },
  ]);
  expect(files.askedOf('/1')).toHaveLength(1);
  expect(await device('files', '9', ...chat)).toMatchObject({ code: 4, stdout: '' });
});

describe('usage', () => {
  const commands = [
    ...['open', 'inbox', 'read', 'send', 'files'],
    ...['backup', 'restore', 'age', 'schedule'],
  ];

  it('has help with examples for every command', async () => {
    const group = await device('--help');
    expect([...group.stdout.matchAll(/^ {2}(\w+) \[options\]/gm)].map(([, name]) => name)).toEqual(
      commands,
    );
    for (const command of commands) {
      const help = await device(command, '--help');
      expect(help.stdout).toContain(`Examples:\n  backscroll device ${command}`);
    }
  });

  it('says what is wrong, and what to do', async () => {
    await done('open', ...of('jan'));
    const cases: [args: string[], code: number, said: string][] = [
      [['read', ...of('jan')], 2, '--peer NAME, or --group NAME'],
      [['open', ...of('ben', 'jan.db')], 2, "another user's database: name its owner with --user"],
      [['open', ...of('jan', 'no/such.db')], 2, 'There is no folder'],
      [['age', ...of('jan', 'none.db')], 4, 'make it by `device open`'],
      [['schedule', ...of('jan'), '--every', '5'], 2, 'such as 30s, 10m, 6h or 1d'],
      [['backup', ...of('jan'), '--label', 'x'], 2, 'add --upload'],
      [['restore', ...of('jan')], 2, 'name a file, or say --latest'],
      [['open', ...of('jan'), '--history', 'x'], 2, 'no address of the form host:port'],
    ];
    for (const [args, code, said] of cases) {
      const result = await device(...args);
      expect(result).toMatchObject({ code, stdout: '' });
      expect(result.stderr).toContain(said);
    }
  });
});
