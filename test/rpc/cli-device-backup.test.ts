import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import {
  backscrollOnTerminal,
  ended,
  hasScript,
  jsonOf,
  linesOf,
  startBackscroll,
} from '../support/backscroll.ts';
import { eventually } from '../support/eventually.ts';
import { FileServer, sha256Of, whole } from '../support/file-server.ts';
import {
  AWAY,
  at,
  client,
  device,
  done,
  environment,
  json,
  of,
  texts,
} from './cli-device-harness.ts';

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
    const named = await device('restore', at('copy.db'), ...fay, '--name', 'x');
    expect(named).toMatchObject({ code: 2, stdout: '' });
    expect(named.stderr).toContain('say --latest');

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
    await say('to be undone');
    await done('backup', ...fay, '--upload');
    const keptPath = `${at('latest.db')}.before-restore`;
    expect(await json('restore', '--number', '2', ...latest)).toEqual([{ code: 0, keptPath }]);
    expect(await json('open', ...latest)).toMatchObject([{ stored: 1 }]);
    expect((await done('restore', '--number', '3', ...latest)).stdout).toBe(
      `The backup is the database now; what was there is kept as ${keptPath}-2\n`,
    );
    expect(await json('open', ...latest)).toMatchObject([{ stored: 2 }]);
    expect(await device('restore', '--number', '9', ...latest)).toMatchObject({ code: 4 });
    const both = await device('restore', '--number', '2', '--latest', ...latest);
    expect(both).toMatchObject({ code: 2, stdout: '' });
    const none = await device('restore', '--latest', ...of('nobody'));
    expect(none.code).toBe(4);
    expect(none.stderr).toContain('BACKUP_NOT_FOUND');
  });

  it('leaves no database behind where a restore failed, unless it has been used meanwhile', async () => {
    const left = () => readdirSync(at('.')).filter((name) => name.startsWith('new.db'));
    const fresh = of('fay', 'new.db');
    expect(await device('restore', at('none.db'), ...fresh)).toMatchObject({ code: 4 });
    expect(await device('restore', 'package.json', ...fresh)).toMatchObject({ code: 2 });
    expect(await device('restore', '--latest', ...fresh, ...AWAY)).toMatchObject({ code: 3 });
    expect(left()).toEqual([]);

    // A service that never answers.
    const silent = createServer().listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const backup = `127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const restore = ['device', 'restore', '--latest', ...fresh, '--backup', backup];
    await using restoring = startBackscroll(environment, restore);
    const [socket] = await once(silent, 'connection');
    await done('send', ...fresh, '--peer', 'gus', 'not to be lost', ...AWAY);
    expect(await restoring.kill('SIGINT')).toMatchObject({ code: 130 });
    socket.destroy();
    silent.close();
    expect(await json('open', ...fresh)).toMatchObject([{ waiting: 1 }]);
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
    await eventually(() => expect(running.stdout).toMatch(/^Backup 2: .* sent, /m));
    expect(await running.kill('SIGINT')).toMatchObject({ code: 130 });
    await say('four');
    const failed = await device(...schedule, '--once', '--plain', '--backup', 'localhost:1');
    expect(failed).toMatchObject({ code: 3, stdout: '' });
  });

  it('says until when a new database is too young for a schedule, and what to do', async () => {
    const schedule = ['schedule', ...fay, '--name', 'young'];
    const young = await device(...schedule, '--once');
    expect(young).toMatchObject({ code: 4, stdout: '' });
    expect(young.stderr).toMatch(/its first backup is made after \d{4}-\S+Z, /);
    expect(young.stderr).toContain('at once with --min-database-age 0s');
    const scripted = await device(...schedule, '--once', '--json');
    expect(scripted.code).toBe(4);
    const [{ leftMs }] = jsonOf(scripted.stdout);
    expect(jsonOf(scripted.stdout)).toEqual([{ tooYoung: true, leftMs }]);
    expect(leftMs).toBeGreaterThan(0);
    await using running = startBackscroll(environment, ['device', ...schedule]);
    await eventually(() => expect(running.stdout).toContain('its first backup is made after'));
    expect(await running.kill('SIGINT')).toMatchObject({ code: 130 });
    const [at] = await json(...schedule, '--once', '--min-database-age', '0s');
    expect(at).toMatchObject({ backup: { number: '1' } });
  });

  it('tells on a schedule what it is that can not be reached', async () => {
    await done('send', ...fay, '--peer', 'gus', 'waits', ...AWAY);
    const schedule = ['schedule', ...fay, '--name', 'unreachable', '--once', '--plain'];
    const { code, stderr } = await device(...schedule, '--min-database-age', '0s', ...AWAY);
    expect(code).toBe(3);
    expect(stderr.match(/Can't reach the \w+ service/g)).toEqual([
      "Can't reach the history service",
      "Can't reach the backup service",
    ]);
  });
});

it('lists files, and fetches them a few at a time', async () => {
  await using files = await FileServer.start();
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
    { result: { count: 3, reachedEnd: true, lacking: false } },
  ]);
  expect(files.askedOf('/1')).toHaveLength(1);
  expect(await device('files', '9', ...chat)).toMatchObject({ code: 4, stdout: '' });
});

it.skipIf(!hasScript)('shows on a terminal how far it has come (by `script`)', async () => {
  await using files = await FileServer.start();
  const content = Buffer.alloc(100_000, 'a');
  const url = files.put('/large', whole(content));
  const text = 'a'.repeat(30_000);
  // More than a copy is told of at once.
  for (let n = 0; n < 8; n++) {
    const messages = Array.from({ length: 25 }, () => ({ content: { text } }));
    await client.append({ user: 'lou', peer: 'max', messages });
  }
  const sent = { url, name: 'large', sizeBytes: BigInt(content.length) };
  await client.append({ user: 'lou', peer: 'max', messages: [{ content: { files: [sent] } }] });
  const lou = of('lou');
  const plain = await done('read', ...lou, '--peer', 'max', '--all', '--count', '500');
  expect(plain.stderr).not.toContain('\u001b');
  const bars: [bar: string, args: string[]][] = [
    ['Copying', ['backup', ...lou, at('lou-copy.db')]],
    ['Uploading', ['backup', ...lou, '--upload']],
    ['Downloading', ['restore', '--latest', ...of('lou', 'lou-new.db')]],
    ['Fetching', ['files', ...lou, '--peer', 'max', '--fetch']],
  ];
  for (const [bar, args] of bars) {
    const shown = await backscrollOnTerminal(environment, ['device', ...args]);
    expect(shown).toMatch(new RegExp(`${bar} .* \\d+% \\S+ \\S?i?B of \\S+ [KM]iB`));
  }
});

it('leaves beside a database what the README names', () => {
  const there = readdirSync(at('.')).filter((name) => /^(?:fay|latest|ida)\.db/.test(name));
  const parts = new Set(there.map((name) => name.replace(/^\w+\.db/, '').replace(/-\d+$/, '')));
  const expected = ['', '-state', '-state-lock', '.before-restore', '.files'];
  expect([...parts].sort()).toEqual(expected.sort());
  const readme = readFileSync('clients/README.md', 'utf8');
  for (const part of parts) expect(readme).toContain(`\`bob.db${part}`);
});
