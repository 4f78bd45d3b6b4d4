import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { status } from '@grpc/grpc-js';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  backscrollPressing,
  ended,
  hasScript,
  linesOf,
  startBackscroll,
} from '../support/backscroll.ts';
import {
  AWAY,
  at,
  chat,
  client,
  device,
  done,
  environment,
  json,
  of,
  texts,
} from './cli-device-harness.ts';

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
      stdout: '',
      stderr: 'the device holds none; without --offline it fetches what it lacks\n',
    });
    const { stdout, stderr } = await done('read', ...ann, '--count', '2');
    expect(linesOf(stdout)).toEqual([
      expect.stringMatching(/^120 \S+Z ben: 120$/),
      expect.stringMatching(/^119 \S+Z ann: 119( \(\w+\))?$/),
    ]);
    expect(stderr).toBe('there is more: --all, or a larger --count; 3 held here, 1 unread\n');
    const page = await json('read', ...ann);
    expect(texts(page.slice(0, -1))).toEqual(fall(120, 71));
    expect(page[0]).toMatchObject({ peer: 'ben', seq: 120, sender: 'ben', status: 'received' });
    expect(page.at(-1)).toEqual({ result: { count: 50, reachedEnd: false, lacking: false } });
  });

  it('goes on to the beginning, and knows it without a connection', async () => {
    const all = await json('read', ...ann, '--all', '--count', '50');
    expect(texts(all.slice(0, -1))).toEqual(fall(120, 1));
    expect(all.at(-1)).toEqual({ result: { count: 120, reachedEnd: true, lacking: false } });
    const offline = await done('read', ...ann, '--offline', '--all', ...AWAY);
    expect(linesOf(offline.stdout)).toHaveLength(120);
    expect(offline.stderr).toBe('that is the beginning; 120 held here, 1 unread\n');
    const [opened] = await json('open', ...of('ann'));
    expect(opened).toEqual({
      ...{ database: at('ann.db'), user: 'ann', sizeBytes: expect.any(Number) },
      ...{ inbox: 0, stored: 120, unread: 1, waiting: 0 },
    });
  });

  it('promises no more than there is', async () => {
    const few = ['--user', 'kim', '--peer', 'lee', '--database', at('kim.db')];
    await chat('kim', 'lee', 3);
    for (const more of [[], ['--oldest-first'], ['--offline'], ['--offline', '--oldest-first']]) {
      const end = more.includes('--oldest-first') ? 'end' : 'beginning';
      const { stdout, stderr } = await done('read', ...few, '--count', '3', ...more);
      expect(linesOf(stdout)).toHaveLength(3);
      expect(stderr).toMatch(new RegExp(`^that is the ${end}; 3 held here`));
    }
    const inbox = await json('inbox', ...of('kim'), '--count', '1');
    expect(inbox.at(-1)).toEqual({ result: { count: 1, reachedEnd: true, lacking: false } });
    // With one in the outbox there are four.
    await done('send', ...few, '4', ...AWAY);
    for (const more of [[], ['--oldest-first']]) {
      const { stderr } = await done('read', ...few, '--count', '3', ...more);
      expect(stderr).toMatch(/^there is more: --all, or a larger --count; 3 held here/);
      const all = await json('read', ...few, '--count', '4', ...more);
      expect(all.at(-1).result).toEqual({ count: 4, reachedEnd: true, lacking: false });
    }
  });

  it('tells where what the device holds ends from where the conversation does', async () => {
    const some = [...of('ann', 'some.db'), '--peer', 'ben'];
    await done('read', ...some, '--count', '10');
    const known = await json('read', ...some, '--offline');
    expect(texts(known.slice(0, -1))).toEqual(fall(120, 110));
    expect(known.at(-1)).toEqual({ result: { count: 11, reachedEnd: false, lacking: true } });
    const held = await done('read', ...some, '--offline', '--all', '--count', '7');
    expect(held.stderr).toMatch(
      /^that is all the device holds; without --offline it fetches what it lacks; 11 held here/,
    );
    // With the first five it holds both ends, and not what is between.
    await done('read', ...some, '--oldest-first', '--count', '4');
    const page = await json('read', ...some, '--offline', '--count', '5');
    expect(page.at(-1)).toEqual({ result: { count: 5, reachedEnd: false, lacking: false } });
    const all = await json('read', ...some, '--offline', '--all', '--count', '7');
    expect(texts(all.slice(0, -1))).toEqual([...fall(120, 110), ...fall(5, 1)]);
    expect(all.at(-1)).toEqual({ result: { count: 16, reachedEnd: true, lacking: true } });
  });

  it('prints what the device holds where it reaches no service', async () => {
    const { code, stdout, stderr } = await device('read', ...ann, '--count', '3', ...AWAY);
    expect(code).toBe(3);
    expect(linesOf(stdout)).toHaveLength(3);
    expect(linesOf(stderr)).toEqual([
      expect.stringMatching(
        /^error: Can't reach the history service at localhost:1: connect E\w+ \S+$/,
      ),
      'Is it running? Start it with `npm start`, or name another address with --history or BACKSCROLL_HISTORY.',
    ]);
    const secure = `https://localhost:${environment.BACKSCROLL_HISTORY?.split(':')[1]}`;
    const untrue = await device('read', ...ann, '--history', secure);
    expect(untrue.code).toBe(3);
    expect(untrue.stderr).toContain(`at ${secure}: TLS failed: wrong version number\n`);
    const none = await device('read', ...of('ann'), '--peer', 'zoe', ...AWAY);
    expect(none).toMatchObject({ code: 3, stdout: '' });
  });

  it('asks a service that is not available once', async () => {
    let asked = 0;
    const unavailable = { 'content-type': 'application/grpc', 'grpc-status': status.UNAVAILABLE };
    const service = createServer().listen(0, '127.0.0.1');
    service.on('stream', (stream: ServerHttp2Stream) => {
      asked += 1;
      stream.respond(unavailable, { endStream: true });
    });
    await once(service, 'listening');
    const history = `127.0.0.1:${(service.address() as AddressInfo).port}`;
    const read = await device('inbox', ...of('ann'), '--history', history);
    service.close();
    expect(read).toMatchObject({ code: 3, stdout: '' });
    expect(asked).toBe(1);
  });

  it('reads what is picked, and tells others what was read', async () => {
    const unread = await json('read', ...ann, '--unread', '--receipts');
    const all = { count: 1, reachedEnd: true, lacking: false };
    expect(unread).toMatchObject([{ seq: 120 }, { result: all }]);
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
    expect(result).toEqual({ result: { count: 1, reachedEnd: true, lacking: false } });
    const fresh = of('ann', 'new.db');
    await done('open', ...fresh);
    expect(await json('inbox', ...fresh, '--offline')).toEqual([
      { result: { count: 0, reachedEnd: false, lacking: true } },
    ]);
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
    const few = [...read.slice(0, -1), '10'];
    const [up, down, pageUp] = ['\u001b[A', '\u001bOB', '\u001b[5~'];
    const scrolled = await backscrollPressing(environment, few, [
      `x${up}${up}`,
      down,
      pageUp,
      '\u0004',
    ]);
    expect(scrolled.code).toBe(0);
    expect([...scrolled.shown.matchAll(/(\d+) \S+Z/g)].map(([, seq]) => seq)).toEqual(
      fall(120, 81),
    );
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
    const unsent = await device('send', ...of('dan'), ...AWAY);
    expect(unsent).toMatchObject({ code: 3, stdout: '' });
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
    const where = [...of('dan'), ...group];
    const away = await done('send', ...where, '--retry', 'no', ...AWAY);
    expect(away.stdout).toContain('no: waits in the outbox');
    expect(await json('send', ...of('dan'))).toEqual([{ id: 'no', status: 'sent', seq: 1 }]);
  });

  it('says what became of a refused message that is sent again or removed, or that there is none', async () => {
    const where = [...of('dan'), '--group', 'shut'];
    const group = (command: string, ...args: string[]) =>
      ended(startBackscroll(environment, ['group', command, '--group', 'shut', ...args]));
    await group('create', '--user', 'owner');
    for (const id of ['a', 'b', 'c']) await device('send', ...where, '--id', id, id);
    const kept = await done('send', ...where, '--discard', 'a', ...AWAY);
    expect(kept.stdout).toBe('a: removed from the outbox\n');
    expect(await json('send', ...where, '--discard', 'b')).toEqual([
      { id: 'b', status: 'discarded' },
    ]);
    await group('add', '--user', 'owner', 'dan');
    expect((await done('send', ...where, '--retry', 'c')).stdout).toBe('c: sent, seq 1\n');
    for (const option of ['--retry', '--discard']) {
      const none = await device('send', ...where, option, 'a', '--json');
      expect(none).toMatchObject({ code: 4, stdout: '' });
      expect(none.stderr).toContain('No refused message a is in the outbox');
    }
  });
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
    const { stdout } = await device('schedule', '--help');
    expect(stdout).toMatch(/--every <time> [^()]*\(default:\s+1d\)\n/);
  });

  it('says what is wrong, and what to do', async () => {
    await done('open', ...of('jan'));
    const cases: [args: string[], code: number, said: string][] = [
      [['read', ...of('jan')], 2, '--peer NAME, or --group NAME'],
      [['open', ...of('ben', 'jan.db')], 2, "another user's database: name its owner with --user"],
      [['open', ...of('jan', 'no/such.db')], 2, 'There is no folder'],
      [['age', ...of('jan', 'none.db')], 4, 'make it by `device open`'],
      ...[['inbox'], ['read', '--peer', 'ben'], ['files', '--peer', 'ben']].map(
        (offline): [string[], number, string] => [
          [...offline, '--offline', ...of('jan', 'none.db')],
          ...([4, 'make it by `device open`'] as const),
        ],
      ),
      [['send', ...of('jan', 'none.db'), '--discard', 'x'], 2, '--peer NAME, or --group NAME'],
      [
        ['send', ...of('jan', 'none.db'), '--peer', 'ben', '--retry', 'x'],
        4,
        'make it by `device open`',
      ],
      [['schedule', ...of('jan'), '--every', '5'], 2, 'such as 30s, 10m, 6h or 1d'],
      [['backup', ...of('jan'), '--label', 'x'], 2, 'add --upload'],
      [['restore', ...of('jan')], 2, 'name a file, or say --latest or --number'],
      [['open', ...of('jan'), '--history', 'x'], 2, 'must be host:port'],
    ];
    for (const [args, code, said] of cases) {
      const result = await device(...args);
      expect(result).toMatchObject({ code, stdout: '' });
      expect(result.stderr).toContain(said);
    }
    expect(existsSync(at('none.db'))).toBe(false);
  });
});
