import { createHash } from 'node:crypto';
import { mkdir, mkdtempDisposable, readdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { FileStore } from '../../clients/device/files/file-store.ts';

const stack = new AsyncDisposableStack();
afterAll(() => stack.disposeAsync());

const KEY = 'ab'.repeat(32);
const ORIGIN = { url: 'https://a/b', validator: '"1"' };
let store: FileStore;

beforeEach(async () => {
  const { path } = stack.use(await mkdtempDisposable(join(tmpdir(), 'parts-')));
  store = new FileStore(path, 1_000);
  await mkdir(join(path, 'ab'));
});

const digestOf = (text: string) => createHash('sha256').update(text).digest('hex');

describe('a part of a file', () => {
  it('goes on where the last one ended, knows where it comes from, and gets its name at the end', async () => {
    {
      await using part = await store.openPart(KEY);
      await part.begin(ORIGIN);
      await part.append(Buffer.from('one '));
    }
    expect(store.partBytes(KEY)).toBe(4);
    await using part = await store.openPart(KEY);
    expect(part).toMatchObject({ sizeBytes: 4, origin: ORIGIN, pieced: true });
    expect(() => part.goOn(3)).toThrow(RangeError);
    part.goOn(4);
    await part.append(Buffer.from('two'));
    const sha256 = await store.keep(part);
    expect(sha256).toBe(digestOf('one two'));
    const found = store.find(sha256);
    expect(await readFile(found!.path, 'utf8')).toBe('one two');
    expect(await readdir(join(store.folder, 'ab'))).toEqual([]);
  });

  it('leaves nothing behind where nothing came, or all was thrown away', async () => {
    {
      await using part = await store.openPart(KEY);
      await part.begin(ORIGIN);
      await part.append(Buffer.from('one'));
      await part.clear();
      expect(part).toMatchObject({ sizeBytes: 0, origin: undefined, pieced: false });
      expect(part.digest()).toBe(digestOf(''));
    }
    expect(await readdir(join(store.folder, 'ab'))).toEqual([]);
  });

  it('does not know where it comes from where that was not written whole', async () => {
    const path = join(store.folder, 'ab', 'ab'.repeat(31));
    await writeFile(`${path}.part`, 'one');
    await writeFile(`${path}.part.from`, '{"url":');
    await using part = await store.openPart(KEY);
    expect(part).toMatchObject({ sizeBytes: 3, origin: undefined });
  });
});

describe('the lock of a shard', () => {
  it('is one alone, and of that shard alone', async () => {
    using first = await store.lock(KEY);
    expect(first).toBeDefined();
    expect(await store.lock(`ab${'0'.repeat(62)}`)).toBeUndefined();
    using other = await store.lock('cd'.repeat(32));
    expect(other).toBeDefined();
    first?.[Symbol.dispose]();
    using again = await store.lock(KEY);
    expect(again).toBeDefined();
  });
});
