import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { home, open, useFiles } from './device-files-harness.ts';

const transfer = {
  fetch: () => Promise.reject(new Error('nothing is to be fetched')),
  upload: () => Promise.reject(new Error('nothing is to be uploaded')),
};

useFiles();

beforeEach(async () => {
  await writeFile(join(home, 'file'), 'bytes');
  execFileSync('mkfifo', [join(home, 'pipe')]);
});

it.each<[string, string]>([
  ['/dev/null', 'NOT_A_FILE'],
  ['/dev/zero', 'NOT_A_FILE'],
  ['.', 'NOT_A_FILE'],
  ['pipe', 'NOT_A_FILE'],
  ['missing', 'NO_SUCH_FILE'],
  ['file/missing', 'NO_SUCH_FILE'],
])('%s is not uploaded: %s', async (path, reason) => {
  await using device = await open({ transfer });
  const uploading = device.uploadFile(path.startsWith('/') ? path : join(home, path));
  await expect(uploading).rejects.toMatchObject({ reason });
});

it.each([undefined, null, 5, '', 'a\0b'])('%j is no path of a file to upload', async (path) => {
  await using device = await open({ transfer });
  await expect(device.uploadFile(path as never)).rejects.toMatchObject({
    ...{ code: 3, reason: 'INVALID_FIELD', fields: [{ field: 'path' }] },
  });
});
