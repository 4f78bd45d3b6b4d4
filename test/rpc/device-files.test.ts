import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Device, FileRefused, type FileRequest } from '../../clients/device/index.ts';
import { startDeviceReader } from '../support/device-reader.ts';
import { eventually } from '../support/eventually.ts';
import { type Answer, cut, held, sha256Of, whole } from '../support/file-server.ts';
import {
  BOB,
  bytesAt,
  folder,
  home,
  kept,
  MIB,
  open,
  path,
  read,
  receive,
  server,
  settled,
  statesOf,
  told,
  useFiles,
} from './device-files-harness.ts';

useFiles();

/** Resolves once so many bytes of the first message's file have come. */
function arrived(device: Device): (receivedBytes: number) => Promise<unknown> {
  return (receivedBytes) =>
    eventually(() => expect(device.file(read(device)[0]!)).toMatchObject({ receivedBytes }));
}

describe('files of a device', () => {
  it('are fetched when their message is read, and kept under no name of theirs', async () => {
    await using device = await open();
    const bytes = randomBytes(300_000);
    const url = server.put(path(), whole(bytes));
    const states = statesOf(device);
    receive(device, [{ ...told(bytes, url), name: '../../../etc/passwd' }]);
    device.start();
    const [message] = read(device);
    const state = await settled(device, message!);
    expect(state).toMatchObject({ state: 'present', sizeBytes: 300_000, receivedBytes: 300_000 });
    const digest = Buffer.from(sha256Of(bytes)).toString('hex');
    expect(state.path).toBe(join(folder(), digest.slice(0, 2), digest.slice(2)));
    expect(await bytesAt(state)).toEqual(bytes);
    expect(new Set(states.map((one) => one.state))).toEqual(
      new Set(['queued', 'fetching', 'present']),
    );
    read(device);
    expect(await device.fetchFile(message!)).toEqual(state);
    expect(server.asked).toHaveLength(1);
    expect(await kept()).toEqual([digest.slice(2)]);
  });

  it('go on where a connection broke, and bring nothing twice', async () => {
    await using device = await open();
    const bytes = randomBytes(1_000_000);
    const where = path();
    const url = server.put(where, cut(bytes, 200_000, arrived(device)));
    receive(device, [{ url, sizeBytes: 1_000_000n }]);
    device.start();
    const [message] = read(device);
    const state = await settled(device, message!);
    expect(await bytesAt(state)).toEqual(bytes);
    const asked = server.askedOf(where);
    expect(asked.map(({ headers }) => headers.range)).toEqual([
      undefined,
      ...[200_000, 400_000, 600_000, 800_000].map((from) => `bytes=${from}-`),
    ]);
    expect(asked[1]!.headers['if-range']).toMatch(/^"/);
  });

  it('come to nothing where the same beginning comes again and again', async () => {
    const beginning = async function* () {
      yield randomBytes(100_000);
    };
    const fetch = async () => ({
      ...{ offset: 0, sizeBytes: 300_000, validator: undefined },
      body: beginning(),
    });
    await using device = await open({ transfer: { fetch } });
    receive(device, [{ url: 'own:file', sizeBytes: 300_000n }]);
    const [message] = read(device);
    const fetching = device.fetchFile(message!);
    await expect(fetching).rejects.toMatchObject({ reason: 'FILE_UNREACHABLE' });
    expect(device.file(message!).state).toBe('absent');
  }, 120_000);

  it('begin anew where the server has another file by then', async () => {
    await using device = await open();
    const [old, fresh] = [randomBytes(500_000), randomBytes(500_000)];
    const where = path();
    const url = server.put(where, (response, asked, nth) =>
      nth === 0
        ? cut(old, 100_000, arrived(device))(response, asked, nth)
        : whole(fresh)(response, asked, nth),
    );
    receive(device, [{ url }]);
    device.start();
    const [message] = read(device);
    expect(await bytesAt(await settled(device, message!))).toEqual(fresh);
    expect(server.askedOf(where)[1]!.headers.range).toBe('bytes=100000-');
  });

  it('are refused where their bytes are others, and had once they are right', async () => {
    await using device = await open();
    const bytes = randomBytes(100_000);
    const where = path();
    const url = server.put(where, whole(randomBytes(100_000)));
    receive(device, [told(bytes, url)]);
    device.start();
    const [message] = read(device);
    const state = await settled(device, message!);
    expect(state).toMatchObject({ state: 'refused', reason: 'FILE_WRONG_DIGEST' });
    expect(state.path).toBeUndefined();
    expect(await kept()).toEqual([]);
    read(device);
    await expect(device.fetchFile(message!)).rejects.toMatchObject({
      reason: 'FILE_WRONG_DIGEST',
    });
    expect(server.askedOf(where)).toHaveLength(2);
    server.put(where, whole(bytes));
    expect(await bytesAt(await device.fetchFile(message!))).toEqual(bytes);
    expect(device.file(message!).state).toBe('present');
  });

  it('are taken whole once more where pieces of several tries do not fit', async () => {
    await using device = await open();
    const [bytes, other] = [randomBytes(200_000), randomBytes(200_000)];
    const where = path();
    // Gives no sign that it is another file.
    const url = server.put(where, (response, asked, nth) => {
      asked.headers['if-range'] = undefined;
      if (nth === 0) cut(other, 100_000, arrived(device))(response, asked, nth);
      else whole(bytes)(response, asked, nth);
    });
    receive(device, [told(bytes, url)]);
    const [message] = read(device);
    expect(await bytesAt(await device.fetchFile(message!))).toEqual(bytes);
    expect(server.askedOf(where).map(({ headers }) => headers.range)).toEqual([
      undefined,
      'bytes=100000-',
      undefined,
    ]);
  });

  it('are refused where they are longer or shorter than told, or than may be kept', async () => {
    await using device = await open({ quotaBytes: MIB });
    const bytes = randomBytes(50_000);
    // Does not tell how much will come.
    const long = server.put(path(), (response) => {
      response.write(bytes);
      response.end(bytes);
    });
    const short = server.put(path(), (response) => {
      response.write(bytes.subarray(1));
      response.end();
    });
    const other = server.put(path(), whole(bytes));
    const endless = server.put(path(), (response) => {
      const more = () => response.write(bytes, (error) => error ?? more());
      more();
    });
    const huge = server.put(path(), whole(Buffer.alloc(2 * MIB)));
    const sizeBytes = 50_000n;
    receive(device, [
      ...[long, short].map((url) => ({ url, sizeBytes })),
      ...[{ url: other, sizeBytes: 49_999n }, { url: endless }, { url: huge }],
      { url: other, sizeBytes: BigInt(2 * MIB) },
    ]);
    device.start();
    const messages = read(device);
    const reasons = [];
    for (const message of messages) reasons.push((await settled(device, message)).reason);
    expect(reasons).toEqual([
      ...['FILE_WRONG_SIZE', 'FILE_WRONG_SIZE', 'FILE_WRONG_SIZE'],
      ...['FILE_TOO_LARGE', 'FILE_TOO_LARGE', 'FILE_TOO_LARGE'],
    ]);
    expect(await kept()).toEqual([]);
    await eventually(() => expect(server.open).toBe(0));
  });

  it('are asked for again where nothing comes', async () => {
    await using device = await open({ stallMs: 200 });
    const bytes = randomBytes(100_000);
    const where = path();
    const url = server.put(where, held(bytes, 60_000, 1));
    receive(device, [told(bytes, url)]);
    const [message] = read(device);
    expect(await bytesAt(await device.fetchFile(message!))).toEqual(bytes);
    expect(server.askedOf(where).map(({ headers }) => headers.range)).toEqual([
      undefined,
      'bytes=60000-',
    ]);
  });

  it('follow a few redirects, wait for a busy server, and tell what is wrong with a url', async () => {
    await using device = await open();
    const bytes = randomBytes(1_000);
    const good = path();
    server.put(good, whole(bytes));
    const moved = server.put(path(), (response) =>
      response.writeHead(302, { location: good }).end(),
    );
    const round = path();
    server.put(round, (response) => response.writeHead(307, { location: round }).end());
    const away = server.put(path(), (response) =>
      response.writeHead(301, { location: 'file:///etc/passwd' }).end(),
    );
    const busy = server.put(path(), (response, asked, nth) =>
      nth === 0 ? response.writeHead(503).end() : whole(bytes)(response, asked, nth),
    );
    const denied = server.put(path(), (response) => response.writeHead(403).end());
    const urls = [moved, server.url(round), away, 'file:///etc/passwd', busy, denied];
    receive(
      device,
      [...urls, server.url('/nowhere')].map((url) => ({ url })),
    );
    const outcomes = [];
    for (const message of read(device)) {
      outcomes.push(
        await device.fetchFile(message).then(
          ({ state }) => state,
          ({ reason }) => reason,
        ),
      );
    }
    expect(outcomes).toEqual([
      ...['present', 'FILE_URL', 'FILE_URL', 'FILE_URL', 'present', 'FILE_DENIED', 'FILE_GONE'],
    ]);
    expect(server.askedOf(round)).toHaveLength(6);
  });

  it('that can not be reached are absent, and asked for when they are read again', async () => {
    await using device = await open();
    const bytes = randomBytes(1_000);
    const where = path();
    let down = true;
    const url = server.put(where, (response, asked, nth) =>
      down ? response.destroy() : whole(bytes)(response, asked, nth),
    );
    receive(device, [{ url }]);
    const states = statesOf(device);
    device.start();
    const [message] = read(device);
    expect(await settled(device, message!)).toMatchObject({ state: 'absent' });
    expect(states.at(-1)).toMatchObject({ state: 'absent', reason: 'FILE_UNREACHABLE' });
    down = false;
    read(device);
    expect(await settled(device, message!)).toMatchObject({ state: 'present' });
  });

  it('are kept once, whoever sends them, and found again by what was learnt of them', async () => {
    const bytes = randomBytes(100_000);
    const [one, two] = [path(), path()];
    server.put(one, whole(bytes));
    server.put(two, whole(bytes));
    {
      await using device = await open();
      device.start();
      receive(device, [
        told(bytes, server.url(one)),
        told(bytes, server.url(two)),
        { url: server.url(two) },
      ]);
      const paths = [];
      for (const message of read(device)) paths.push((await settled(device, message)).path);
      expect(new Set(paths).size).toBe(1);
      expect(await kept()).toHaveLength(1);
      expect(server.asked).toHaveLength(2);
    }
    await using device = await open();
    device.start();
    for (const message of read(device)) expect(device.file(message).state).toBe('present');
    expect(server.asked).toHaveLength(2);
    await rm(folder(), { recursive: true });
    const messages = read(device);
    for (const message of messages) {
      expect((await settled(device, message)).state).toBe('present');
    }
  });

  it('are had from one sender where another tells the same of a wrong url', async () => {
    await using device = await open({ maxTransfers: 1 });
    const bytes = randomBytes(10_000);
    const good = told(bytes, server.put(path(), whole(bytes)));
    const wrong = told(bytes, server.put(path(), whole(randomBytes(10_000))));
    const nowhere = { ...good, url: 'http://127.0.0.1:1/' };
    receive(device, [{ ...good, url: server.url('/gone') }, wrong, nowhere, good]);
    const states = statesOf(device);
    const messages = read(device);
    device.start();
    expect(await bytesAt(await settled(device, messages[3]!))).toEqual(bytes);
    expect(states.filter(({ state }) => state === 'refused')).toEqual([
      expect.objectContaining({ seq: 1, reason: 'FILE_GONE' }),
      expect.objectContaining({ seq: 2, reason: 'FILE_WRONG_DIGEST' }),
    ]);
    expect(messages.map((message) => device.file(message).state)).toEqual([
      ...['present', 'present', 'present', 'present'],
    ]);
    expect(states).toContainEqual(
      expect.objectContaining({ seq: 3, state: 'absent', reason: 'FILE_UNREACHABLE' }),
    );
  });

  it('come whole from a server that gives other parts than were asked for', async () => {
    await using device = await open();
    const bytes = randomBytes(200_000);
    const where = path();
    const url = server.put(where, (response, asked, nth) => {
      if (nth === 0) cut(bytes, 100_000, arrived(device))(response, asked, nth);
      else if (asked.headers.range === undefined) whole(bytes)(response, asked, nth);
      else response.writeHead(206, { 'content-range': 'bytes 0-199999/200000' }).end(bytes);
    });
    receive(device, [told(bytes, url)]);
    expect(await bytesAt(await device.fetchFile(read(device)[0]!))).toEqual(bytes);
    expect(server.askedOf(where).map(({ headers }) => headers.range)).toEqual([
      undefined,
      'bytes=100000-',
      undefined,
    ]);
  });

  it('are not fetched from where the app decided against, whoever else tells of them', async () => {
    await using device = await open({
      decide: ({ url }) => (url.endsWith('/bad') ? 'never' : 'now'),
    });
    const bytes = randomBytes(10_000);
    const bad = told(bytes, server.put('/bad', whole(bytes)));
    receive(device, [{ ...bad, url: server.url('/gone') }, bad]);
    const [gone, forbidden] = read(device);
    device.start();
    expect(await settled(device, gone!)).toMatchObject({ state: 'refused', reason: 'FILE_GONE' });
    expect(device.file(forbidden!)).toMatchObject({ state: 'absent' });
    expect(server.askedOf('/bad')).toHaveLength(0);
  });

  it('wait for each other where there is not room for all at once', async () => {
    await using device = await open({ quotaBytes: 500_000, maxTransfers: 2 });
    const bytes = [randomBytes(300_000), randomBytes(300_000)];
    const files = bytes.map((each) => told(each, server.put(path(), whole(each))));
    receive(device, files);
    const states = await Promise.all(read(device).map((message) => device.fetchFile(message)));
    // The second one took the room of the first.
    expect(states.map(({ sizeBytes }) => sizeBytes)).toEqual([300_000, 300_000]);
    expect(await kept()).toHaveLength(1);
  });

  it('go when there is no room, those first that nobody used for longest', async () => {
    await using device = await open({ quotaBytes: 1_000_000 });
    const all = Array.from({ length: 4 }, () => randomBytes(300_000));
    receive(
      device,
      all.map((bytes) => told(bytes, server.put(path(), whole(bytes)))),
    );
    const [a, b, c, d] = read(device);
    const hourAgo = Date.now() / 1_000 - 7_200;
    for (const [n, message] of [a, b, c].entries()) {
      const { path } = await device.fetchFile(message!);
      await utimes(path!, hourAgo + n, hourAgo + n);
    }
    // Looking at it is using it.
    expect(device.file(a!).state).toBe('present');
    await device.fetchFile(d!);
    expect([a, b, c, d].map((message) => device.file(message!).state)).toEqual([
      ...['present', 'absent', 'present', 'present'],
    ]);
    expect((await device.fetchFile(b!)).state).toBe('present');
    expect(await kept()).toHaveLength(3);
  });

  it('never come more at once than may, however many are read', async () => {
    await using device = await open({ maxTransfers: 3 });
    const bytes = randomBytes(500);
    const slowly: Answer = (...asked) => setTimeout(() => whole(bytes)(...asked), 5);
    const files = Array.from({ length: 2_000 }, () => ({
      ...{ url: server.put(path(), slowly), sizeBytes: 500n },
    }));
    receive(device, files);
    const messages = read(device, 2_000);
    expect(messages).toHaveLength(2_000);
    expect(server.asked).toHaveLength(0);
    device.start();
    await eventually(() => {
      const here = messages.filter((message) => device.file(message).state === 'present');
      expect(here.length).toBe(2_000);
    }, 500);
    expect(server.mostAtOnce).toBe(3);
    expect(server.asked).toHaveLength(2_000);
    expect(await kept()).toHaveLength(1);
  });

  it('of more messages than can wait are left until they are read again', async () => {
    await using device = await open();
    const bytes = randomBytes(500);
    receive(
      device,
      Array.from({ length: 2_001 }, (_, n) => ({
        ...{ url: server.put(path(), whole(bytes)), sizeBytes: BigInt(n + 1) },
      })),
    );
    const states = read(device, 2_001).map((message) => device.file(message).state);
    expect(states.filter((state) => state === 'queued')).toHaveLength(1_000);
    expect(states.slice(1_000).every((state) => state === 'absent')).toBe(true);
  });

  it('of a whole history are left alone but for those that are read', async () => {
    const bytes = randomBytes(500);
    const paths = Array.from({ length: 10_000 }, () => path());
    {
      await using device = await open({ decide: () => 'later' });
      receive(
        device,
        paths.map((each) => ({ url: server.put(each, whole(bytes)), sizeBytes: 500n })),
      );
    }
    await using device = await open();
    device.start();
    const messages = read(device, 20);
    for (const message of messages) await settled(device, message);
    expect(messages.map((message) => device.file(message).state)).toEqual(
      Array.from({ length: 20 }, () => 'present'),
    );
    expect(new Set(server.asked.map((asked) => asked.path))).toEqual(new Set(paths.slice(0, 20)));
    expect(server.asked).toHaveLength(20);
  });

  it('come first where they are shown, and only if that is decided', async () => {
    const requests: FileRequest[] = [];
    await using device = await open({
      maxTransfers: 1,
      decide: (request) => {
        requests.push(request);
        if (request.name === 'never') return 'never';
        return request.name === 'later' && request.priority !== 'asked' ? 'later' : 'now';
      },
    });
    const files = ['later', 'never', 'small', 'large', 'shown'].map((name, n) => {
      const bytes = randomBytes(1_000 * (n + 1));
      return { ...told(bytes, server.put(`/order/${name}`, whole(bytes))), name };
    });
    receive(device, files, 1, 5_000);
    const messages = read(device);
    const [later, never, small, large, shown] = messages;
    device.showing([shown!]);
    device.start();
    for (const message of [small, large, shown]) await settled(device, message!);
    expect(server.asked.map(({ path }) => path)).toEqual([
      ...['/order/shown', '/order/small', '/order/large'],
    ]);
    expect(device.file(later!).state).toBe('absent');
    await expect(device.fetchFile(never!)).rejects.toMatchObject({ reason: 'FILE_NOT_WANTED' });
    expect((await device.fetchFile(later!)).state).toBe('present');
    expect(requests.find(({ priority }) => priority === 'shown')).toEqual({
      ...{ conversation: BOB, sender: 'bob', sentAtMs: 5_000, url: files[4]!.url, name: 'shown' },
      ...{ mediaType: '', sizeBytes: 5_000, priority: 'shown' },
    });
  });

  it('of unknown size are decided on again once it is known', async () => {
    const bytes = randomBytes(1_000);
    const where = path();
    await using device = await open({
      decide: ({ sizeBytes, priority }) =>
        sizeBytes > 500 && priority !== 'asked' ? 'later' : 'now',
    });
    receive(device, [{ url: server.put(where, whole(bytes)) }]);
    device.start();
    const [message] = read(device);
    expect((await settled(device, message!)).state).toBe('absent');
    expect(server.askedOf(where)).toHaveLength(1);
    expect((await device.fetchFile(message!)).state).toBe('present');
  });

  it('of a message that was edited are those that it has now', async () => {
    await using device = await open();
    const [before, after] = [randomBytes(100), randomBytes(200)];
    receive(device, [{ url: server.url('/gone') }]);
    await expect(device.fetchFile(read(device)[0]!)).rejects.toMatchObject({ reason: 'FILE_GONE' });
    expect(device.file(read(device)[0]!).state).toBe('refused');
    receive(device, [told(before, server.url('/gone'))]);
    receive(device, [told(after, server.put(path(), whole(after)))]);
    const [message] = read(device);
    expect(device.file(message!).state).toBe('queued');
    expect(await bytesAt(await device.fetchFile(message!))).toEqual(after);
  });

  it('come by a handler of the app, which may fail in any way', async () => {
    const bytes = randomBytes(1_000);
    let tries = 0;
    await using device = await open({
      transfer: {
        fetch: async ({ url }, { offset }) => {
          tries += 1;
          if (url === 'own:broken') throw new TypeError('of the handler');
          if (url === 'own:nobody') throw new FileRefused('nobody has it', 'FILE_GONE');
          async function* body() {
            yield bytes.subarray(offset, 600);
            if (tries === 1) throw new TypeError('midway');
            yield bytes.subarray(600);
          }
          return { offset, sizeBytes: 1_000, validator: 'v1', body: body() };
        },
      },
    });
    receive(device, [{ url: 'own:file' }, { url: 'own:broken' }, { url: 'own:nobody' }]);
    const [file, broken, nobody] = read(device);
    await expect(device.fetchFile(file!)).rejects.toThrow('midway');
    expect(device.file(file!)).toMatchObject({ state: 'absent', receivedBytes: 600 });
    expect(await bytesAt(await device.fetchFile(file!))).toEqual(bytes);
    await expect(device.fetchFile(broken!)).rejects.toThrow('of the handler');
    expect(device.file(broken!).state).toBe('absent');
    await expect(device.fetchFile(nobody!)).rejects.toMatchObject({ reason: 'FILE_GONE' });
    expect(device.file(nobody!)).toMatchObject({ state: 'refused', reason: 'FILE_GONE' });
    expect(() => device.file(nobody!, 1)).toThrow(
      expect.objectContaining({ reason: 'NO_SUCH_FILE' }),
    );
  });

  it('wait while the device is stopped, and end with it', async () => {
    const bytes = randomBytes(300_000);
    const where = path();
    const url = server.put(where, held(bytes, 100_000, 2));
    const device = await open();
    receive(device, [told(bytes, url)]);
    device.start();
    const [message] = read(device);
    await arrived(device)(100_000);
    expect(device.file(message!).state).toBe('fetching');
    await device.stop();
    await eventually(() => expect(server.open).toBe(0));
    expect(device.file(message!).state).toBe('queued');
    device.start();
    await arrived(device)(200_000);
    const asked = expect(device.fetchFile(message!)).rejects.toMatchObject({ reason: 'CANCELLED' });
    await device.close();
    await asked;
    await eventually(async () => expect(await server.connections()).toBe(0));
    await using again = await open();
    const [later] = read(again);
    expect(again.file(later!)).toMatchObject({ state: 'queued', receivedBytes: 200_000 });
    expect(await bytesAt(await again.fetchFile(later!))).toEqual(bytes);
  });

  it('go on after the process was killed', async () => {
    const bytes = randomBytes(MIB);
    const where = path();
    const url = server.put(where, held(bytes, 700_000, 1));
    {
      await using device = await open();
      receive(device, [told(bytes, url)]);
    }
    const child = startDeviceReader(join(home, 'device.db'));
    const digest = Buffer.from(sha256Of(bytes)).toString('hex');
    const part = join(folder(), digest.slice(0, 2), `${digest.slice(2)}.part`);
    await eventually(async () => expect((await stat(part)).size).toBe(700_000));
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
    await using device = await open();
    device.start();
    const [message] = read(device);
    expect(device.file(message!).receivedBytes).toBe(700_000);
    expect(await bytesAt(await settled(device, message!))).toEqual(bytes);
    expect(server.askedOf(where).map(({ headers }) => headers.range)).toEqual([
      undefined,
      'bytes=700000-',
    ]);
  });

  it('are there without a request where all had come before the process was killed', async () => {
    await using device = await open();
    const all = [randomBytes(1_000), randomBytes(1_000)];
    for (const bytes of all) {
      const digest = Buffer.from(sha256Of(bytes)).toString('hex');
      await mkdir(join(folder(), digest.slice(0, 2)), { recursive: true });
      await writeFile(join(folder(), digest.slice(0, 2), `${digest.slice(2)}.part`), bytes);
    }
    const [one, two] = all.map((bytes) => told(bytes, server.url('/gone')));
    receive(device, [one!, { ...two, sizeBytes: 0n }]);
    for (const [n, message] of read(device).entries()) {
      expect(await bytesAt(await device.fetchFile(message))).toEqual(all[n]);
    }
    expect(server.asked).toHaveLength(0);
  });

  it('are fetched by one of two processes that share the folder', async () => {
    const bytes = randomBytes(MIB);
    const where = path();
    let release = () => {};
    const url = server.put(where, (response) => {
      response.writeHead(200, { 'content-length': MIB });
      response.write(bytes.subarray(0, 100_000));
      release = () => response.end(bytes.subarray(100_000));
    });
    await using device = await open();
    receive(device, [told(bytes, url)]);
    const child = startDeviceReader(join(home, 'device.db'));
    await eventually(() => expect(server.askedOf(where)).toHaveLength(1));
    const states = statesOf(device);
    const [message] = read(device);
    const fetched = device.fetchFile(message!);
    // It tried, and waits.
    await eventually(() => expect(states.map(({ state }) => state)).toContain('queued'));
    expect(states.map(({ state }) => state)).not.toContain('fetching');
    release();
    expect(await bytesAt(await fetched)).toEqual(bytes);
    expect(server.askedOf(where)).toHaveLength(1);
    const exited = once(child, 'exit');
    child.stdin.end();
    expect(await exited).toEqual([0, null]);
  });

  it('are uploaded by a handler of the app, and there at once', async () => {
    const source = join(home, 'holiday.jpg');
    const bytes = randomBytes(400_000);
    await writeFile(source, bytes);
    const progress: number[] = [];
    await using device = await open({
      transfer: {
        fetch: () => Promise.reject(new Error('nothing is to be fetched')),
        upload: async ({ path, sizeBytes }, { onProgress }) => {
          const where = `/up/${sizeBytes}`;
          server.put(where, whole(await readFile(path)));
          onProgress(sizeBytes);
          return server.url(where);
        },
      },
    });
    const file = await device.uploadFile(source, {
      mediaType: 'image/jpeg',
      onProgress: (sentBytes) => progress.push(sentBytes),
    });
    expect(file).toEqual({
      ...{ url: server.url('/up/400000'), name: 'holiday.jpg', mediaType: 'image/jpeg' },
      ...{ sizeBytes: 400_000n, sha256: sha256Of(bytes) },
    });
    expect(progress).toEqual([400_000]);
    device.append(BOB, { content: { files: [file] } });
    const [message] = read(device);
    expect(await bytesAt(device.file(message!))).toEqual(bytes);
    await using other = await open();
    await expect(other.uploadFile(source)).rejects.toMatchObject({ reason: 'NO_UPLOAD' });
  });
});
