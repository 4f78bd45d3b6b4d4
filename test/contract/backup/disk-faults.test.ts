import { mkdir, mkdtempDisposable, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { DiskStore } from '../../../services/backup/store/disk.ts';
import { never } from './engines.ts';

const gone = { reason: 'STORE_UNAVAILABLE' };

it('a folder is made at the start, gone when somebody removes it, and there when it is again', async () => {
  await using parent = await mkdtempDisposable(join(tmpdir(), 'backups-'));
  const path = join(parent.path, 'made', 'by', 'the store');
  await using store = await DiskStore.open(path);
  expect(await store.put('u/a/x', Buffer.from('there'), never)).toBe('created');

  const aside = join(parent.path, 'aside');
  await rename(path, aside);
  await expect(store.check(never)).rejects.toMatchObject(gone);
  await expect(store.list('u/', { limit: 1 }, never)).rejects.toMatchObject(gone);
  await expect(store.get('u/a/x', undefined, never)).rejects.toMatchObject(gone);
  await expect(store.put('u/a/y', Buffer.from('y'), never)).rejects.toMatchObject(gone);

  await rename(aside, path);
  expect((await store.get('u/a/x', undefined, never))?.toString()).toBe('there');

  await rm(path, { recursive: true });
  await mkdir(path);
  await store.check(never);
  expect(await store.list('u/', { limit: 1 }, never)).toEqual([]);
  await rm(path, { recursive: true });
  await mkdir(path);
  expect(await store.put('u/a/x', Buffer.from('again'), never)).toBe('created');
  expect((await store.get('u/a/x', undefined, never))?.toString()).toBe('again');
});
