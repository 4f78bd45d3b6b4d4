import { randomBytes } from 'node:crypto';
import { beforeEach, expect, it } from 'vitest';
import type { BackupStore } from '../../../services/backup/store/store.ts';
import { never, type OpenStore, opened } from './engines.ts';

/** What every engine of the backup store must do, as cases of the suite that calls this. */
export function storeCases(open: OpenStore): void {
  let store: BackupStore;

  beforeEach(async () => {
    store = await opened(open);
  });

  it('gives back what was put, whole and in ranges', async () => {
    const bytes = randomBytes(300_000);
    expect(await store.put('u/a/packs/one', bytes, never)).toBe('created');
    expect(await store.get('u/a/packs/one', undefined, never)).toEqual(bytes);
    const middle = await store.get('u/a/packs/one', { offset: 1_000, length: 50_000 }, never);
    expect(middle).toEqual(bytes.subarray(1_000, 51_000));
    const end = await store.get('u/a/packs/one', { offset: 299_990, length: 500 }, never);
    expect(end).toEqual(bytes.subarray(299_990));
  });

  it('has nothing past the end of an object, and no object where none was put', async () => {
    await store.put('u/a/x', Buffer.from('abc'), never);
    expect(await store.get('u/a/x', { offset: 3, length: 9 }, never)).toHaveLength(0);
    expect(await store.get('u/a/y', undefined, never)).toBeUndefined();
    expect(await store.get('u/b/y', { offset: 0, length: 1 }, never)).toBeUndefined();
  });

  it('keeps an object of one byte', async () => {
    await store.put('u/a/x', Buffer.of(7), never);
    expect(await store.get('u/a/x', undefined, never)).toEqual(Buffer.of(7));
  });

  it('never changes an object', async () => {
    await store.put('u/a/x', Buffer.from('first'), never);
    expect(await store.put('u/a/x', Buffer.from('second'), never)).toBe('exists');
    expect(await store.put('u/a/x', Buffer.from('first'), never)).toBe('exists');
    expect((await store.get('u/a/x', undefined, never))?.toString()).toBe('first');
  });

  it('lets exactly one of several at once create an object', async () => {
    const writers = Array.from({ length: 8 }, (_, at) =>
      store.put('u/a/heads/1', Buffer.from(`writer ${at}`), never),
    );
    const outcomes = await Promise.all(writers);
    expect(outcomes.filter((outcome) => outcome === 'created')).toHaveLength(1);
    const winner = outcomes.indexOf('created');
    expect((await store.get('u/a/heads/1', undefined, never))?.toString()).toBe(`writer ${winner}`);
  });

  it('lists by prefix, ascending, from a key on, and no more than asked for', async () => {
    const names = ['heads/003', 'heads/001', 'heads/002', 'maps/aa/1', 'maps/ab/1', 'packs/p'];
    for (const name of names) await store.put(`u/a/${name}`, Buffer.from(name), never);
    await store.put('u/b/heads/000', Buffer.from('other'), never);

    const keysOf = async (prefix: string, options: { startAfter?: string; limit: number }) =>
      (await store.list(prefix, options, never)).map(({ key }) => key);
    const heads = ['u/a/heads/001', 'u/a/heads/002', 'u/a/heads/003'];
    expect(await keysOf('u/a/heads/', { limit: 1_000 })).toEqual(heads);
    expect(await keysOf('u/a/heads/', { limit: 2 })).toEqual(heads.slice(0, 2));
    expect(await keysOf('u/a/heads/', { startAfter: heads[0]!, limit: 9 })).toEqual(heads.slice(1));
    expect(await keysOf('u/a/heads/', { startAfter: heads[2]!, limit: 9 })).toEqual([]);
    expect(await keysOf('u/a/maps/', { limit: 9 })).toEqual(['u/a/maps/aa/1', 'u/a/maps/ab/1']);
    expect(await keysOf('u/a/maps/aa', { limit: 9 })).toEqual(['u/a/maps/aa/1']);
    expect(await keysOf('u/c/', { limit: 9 })).toEqual([]);
  });

  it('deletes an object, also one that is not there', async () => {
    await store.put('u/a/heads/1', Buffer.from('one'), never);
    await store.put('u/a/heads/2', Buffer.from('two'), never);
    await store.delete('u/a/heads/1', never);
    await store.delete('u/a/heads/1', never);
    await store.delete('u/b/heads/1', never);
    expect(await store.get('u/a/heads/1', undefined, never)).toBeUndefined();
    const left = await store.list('u/', { limit: 9 }, never);
    expect(left.map(({ key }) => key)).toEqual(['u/a/heads/2']);
    expect(await store.put('u/a/heads/1', Buffer.from('again'), never)).toBe('created');
    expect((await store.get('u/a/heads/1', undefined, never))?.toString()).toBe('again');
  });

  it('stores what comes while all around it is deleted', async () => {
    const rounds = Array.from({ length: 20 }, async (_, at) => {
      const key = `u/a/packs/${at}`;
      for (let round = 0; round < 10; round++) {
        expect(await store.put(key, Buffer.of(round), never)).toBe('created');
        expect(await store.get(key, undefined, never)).toEqual(Buffer.of(round));
        await store.delete(key, never);
      }
    });
    await Promise.all(rounds);
    expect(await store.list('u/', { limit: 9 }, never)).toEqual([]);
  });

  it('stores and deletes the same objects at once', async () => {
    const rounds = Array.from({ length: 20 }, async (_, at) => {
      for (let round = 0; round < 10; round++) {
        await store.put(`u/a/packs/${(at + round) % 3}`, Buffer.of(1), never);
        await store.delete(`u/a/packs/${at % 3}`, never);
      }
    });
    await Promise.all(rounds);
    const left = await store.list('u/', { limit: 9 }, never);
    for (const { key } of left)
      expect(await store.get(key, undefined, never)).toEqual(Buffer.of(1));
  });

  it('lists in the order of whole keys, whatever the folders are called', async () => {
    const keys = ['u/a/x', 'u/a-b/x', 'u/a.b/x', 'u/a0/x', 'u/a', 'u/a/x.y', 'u/a/x/y', 'u/b'];
    const taken = ['u/a', 'u/a/x']; // a folder can't be a file as well
    const wanted = keys.filter((key) => !taken.includes(key)).sort();
    for (const key of wanted) await store.put(key, Buffer.of(1), never);
    for (const [at, startAfter] of ['', ...wanted].entries()) {
      const listed = await store.list('u/', { startAfter, limit: 9 }, never);
      expect(listed.map(({ key }) => key)).toEqual(wanted.slice(at));
    }
    const between = await store.list('u/', { startAfter: 'u/a0', limit: 1 }, never);
    expect(between.map(({ key }) => key)).toEqual(['u/a0/x']);
  });

  it('tells sizes, and times by its own clock', async () => {
    const before = await store.nowMs(never);
    await store.put('u/a/x', Buffer.alloc(12_345), never);
    const after = await store.nowMs(never);
    const [object] = await store.list('u/a/', { limit: 9 }, never);
    expect(object?.sizeBytes).toBe(12_345);
    // Clocks are read to the second.
    expect(object?.storedAtMs).toBeGreaterThanOrEqual(before - 1_000);
    expect(object?.storedAtMs).toBeLessThanOrEqual(after + 2_000);
  });

  it('throws the reason of a signal that fires, before and meanwhile', async () => {
    const fired = AbortSignal.abort(new Error('gone before'));
    await expect(store.put('u/a/x', Buffer.of(1), fired)).rejects.toThrow('gone before');
    await expect(store.get('u/a/x', undefined, fired)).rejects.toThrow('gone before');
    await expect(store.list('u/a/', { limit: 1 }, fired)).rejects.toThrow('gone before');
    await expect(store.delete('u/a/x', fired)).rejects.toThrow('gone before');

    const controller = new AbortController();
    const putting = store.put('u/a/y', randomBytes(8 << 20), controller.signal);
    controller.abort(new Error('gone meanwhile'));
    await expect(putting).rejects.toThrow('gone meanwhile');
    const left = await store.get('u/a/y', undefined, never);
    expect([undefined, 8 << 20]).toContain(left?.length);
  });

  it('is there', async () => {
    await expect(store.check(never)).resolves.toBeUndefined();
  });
}
