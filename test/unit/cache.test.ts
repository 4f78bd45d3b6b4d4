import {
  existsSync,
  mkdtempDisposableSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import { cached } from '../support/cache.ts';

function emptyCache(): string {
  const folder = mkdtempDisposableSync(join(tmpdir(), 'backscroll-cache-'));
  vi.stubEnv('BACKSCROLL_CACHE', folder.path);
  onTestFinished(() => {
    vi.unstubAllEnvs();
    folder.remove();
  });
  return folder.path;
}

it('makes a folder once, for all that want it at the same time', async () => {
  emptyCache();
  let made = 0;
  const make = async (folder: string) => {
    made += 1;
    await new Promise(setImmediate);
    writeFileSync(join(folder, 'program'), 'whole');
  };
  const folders = await Promise.all([cached('tool', make), cached('tool', make)]);
  folders.push(await cached('tool', make));
  expect(made).toBe(1);
  expect(new Set(folders).size).toBe(1);
  expect(readFileSync(join(folders[0] ?? '', 'program'), 'utf8')).toBe('whole');
});

it('leaves nothing of what could not be made, and makes it the next time', async () => {
  const cache = emptyCache();
  const failing = async (folder: string) => {
    writeFileSync(join(folder, 'program'), 'half');
    throw new Error('interrupted');
  };
  await expect(cached('tool', failing)).rejects.toThrow('interrupted');
  expect(readdirSync(cache)).toEqual(['tool.lock']);
  const folder = await cached('tool', async () => {});
  expect(existsSync(join(folder, 'program'))).toBe(false);
});
