import { randomBytes } from 'node:crypto';
import { utimes } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { type Answer, held, whole } from '../support/file-server.ts';
import {
  bytesAt,
  kept,
  MIB,
  open,
  path,
  read,
  receive,
  server,
  settled,
  told,
  useFiles,
} from './device-files-harness.ts';

const LARGE_BYTES = 16 * MIB;

useFiles();

/** Answers with bytes without end, and tells no length. */
const endless: Answer = (response) => {
  const bytes = Buffer.alloc(64 * 1024);
  const more = () => response.write(bytes, (error) => error ?? more());
  more();
};

/** Answers with a file, whose length it does not tell. */
function untold(bytes: Buffer): Answer {
  return (response) => {
    response.write(bytes.subarray(0, 1));
    response.end(bytes.subarray(1));
  };
}

describe('files of a device whose size nobody tells', () => {
  it('come as far as files do that nobody asked for, and once', async () => {
    await using device = await open();
    const where = path();
    receive(device, [{ url: server.put(where, endless) }]);
    device.start();
    const state = await settled(device, read(device)[0]!);
    expect(state).toMatchObject({ state: 'absent', sizeBytes: 0 });
    expect(state.receivedBytes).toBeGreaterThan(LARGE_BYTES);
    expect(state.receivedBytes).toBeLessThan(LARGE_BYTES + MIB);
    await eventually(() => expect(server.open).toBe(0));
    expect(device.file(read(device)[0]!)).toEqual(state);
    expect(server.askedOf(where)).toHaveLength(1);
  });

  it('come whole where they were asked for', async () => {
    await using device = await open();
    const bytes = randomBytes(LARGE_BYTES + 1);
    receive(device, [{ url: server.put(path(), untold(bytes)) }]);
    device.start();
    const [message] = read(device);
    expect(await settled(device, message!)).toMatchObject({ state: 'absent' });
    expect(await bytesAt(await device.fetchFile(message!))).toEqual(bytes);
  });

  it('are decided on by the app again with what has come', async () => {
    const sizes: number[] = [];
    await using device = await open({
      decide: ({ sizeBytes }) => {
        sizes.push(sizeBytes);
        return sizeBytes > MIB ? 'never' : 'now';
      },
    });
    receive(device, [{ url: server.put(path(), endless) }]);
    const [message] = read(device);
    await expect(device.fetchFile(message!)).rejects.toMatchObject({ reason: 'FILE_NOT_WANTED' });
    expect(sizes[0]).toBe(0);
    expect(sizes).toEqual(sizes.toSorted((a, b) => a - b));
    expect(device.file(message!).receivedBytes).toBeLessThan(2 * MIB);
  });

  it('take the place of half of what is kept at most', async () => {
    await using device = await open({ quotaBytes: 32 * MIB });
    const all = Array.from({ length: 14 }, () => randomBytes(2 * MIB));
    receive(
      device,
      all.map((bytes) => told(bytes, server.put(path(), whole(bytes)))),
    );
    const messages = read(device);
    const hourAgo = Date.now() / 1_000 - 7_200;
    for (const [n, message] of messages.entries()) {
      const { path } = await device.fetchFile(message);
      await utimes(path!, hourAgo + n, hourAgo + n);
    }
    receive(device, [{ url: server.put(path(), endless) }], 15);
    const asked = read(device)[14]!;
    await expect(device.fetchFile(asked)).rejects.toMatchObject({ reason: 'FILE_TOO_LARGE' });
    expect(device.file(asked)).toMatchObject({ state: 'refused', receivedBytes: 0 });
    const left = await kept();
    expect(left.length).toBeGreaterThanOrEqual(6);
    expect(left.length).toBeLessThan(14);
  });
});

describe('a file for which there is no room beside those that are coming', () => {
  it('takes the place of none', async () => {
    await using device = await open({ quotaBytes: 1_000_000 });
    // Always the same, for chance could put two of them into one shard.
    const bytes = [300_000, 600_000, 500_000].map((size) => Buffer.alloc(size, `${size}`));
    const [stored, slow, waiting] = bytes.map((each, n) =>
      told(each, server.put(path(), n === 1 ? held(each, 100_000) : whole(each))),
    );
    receive(device, [stored!, slow!, waiting!]);
    const [here, coming, other] = read(device);
    await device.fetchFile(here!);
    const slowly = expect(device.fetchFile(coming!)).rejects.toMatchObject({ reason: 'CANCELLED' });
    await eventually(() => expect(device.file(coming!).receivedBytes).toBe(100_000));
    const states: string[] = [];
    device.on('file', ({ seq, state }) => seq === 3 && states.push(state));
    const waits = expect(device.fetchFile(other!)).rejects.toMatchObject({ reason: 'CANCELLED' });
    // It tried, found no room, and waits.
    await eventually(() => expect(states).toContain('queued'));
    expect(device.file(here!).state).toBe('present');
    await device.close();
    await Promise.all([slowly, waits]);
  });
});

describe('files for which there is no room beside one that comes slowly', () => {
  it('are asked for once, and again when that has ended', async () => {
    await using device = await open({ quotaBytes: 1_000_000, stallMs: 500 });
    const bytes = [randomBytes(600_000), randomBytes(500_000), randomBytes(500_000)];
    const paths = bytes.map((each, n) => {
      const where = path();
      server.put(where, n === 0 ? held(each, 100_000, 3) : whole(each));
      return where;
    });
    receive(
      device,
      bytes.map((each, n) => told(each, server.url(paths[n]!))),
    );
    const [slow, ...others] = read(device);
    const slowly = device.fetchFile(slow!);
    await eventually(() => expect(device.file(slow!).receivedBytes).toBe(100_000));
    await Promise.all([slowly, ...others.map((message) => device.fetchFile(message))]);
    expect(server.askedOf(paths[0]!)).toHaveLength(4);
    expect(paths.slice(1).flatMap((where) => server.askedOf(where)).length).toBeLessThanOrEqual(6);
  });
});
