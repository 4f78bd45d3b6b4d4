import { readdir } from 'node:fs/promises';
import { expect, it } from 'vitest';
import type { FileOptions } from '../../clients/device/index.ts';
import { home, open, useFiles } from './device-files-harness.ts';

useFiles();

it.each<[string, unknown]>([
  ...[-1, Number.NaN, Infinity, 1.5, '1', null].map((bytes): [string, unknown] => [
    'quotaBytes',
    bytes,
  ]),
  ...[0, 1.5, Number.NaN, Infinity, '3'].map((most): [string, unknown] => ['maxTransfers', most]),
  // A timer of Node's takes no more than 31 bits, and fires at once where it is given them.
  ...[-1, 0, 0.5, 2 ** 31, '30'].map((ms): [string, unknown] => ['stallMs', ms]),
  ...['later', {}].map((decide): [string, unknown] => ['decide', decide]),
  ...[{}, 'http', null, { fetch: 'http' }].map((one): [string, unknown] => ['transfer', one]),
  ['transfer', { fetch: () => {}, upload: 'http' }],
  ...[5, ''].map((folder): [string, unknown] => ['folder', folder]),
])('a device is not opened with files.%s of %o', async (field, value) => {
  await expect(open({ [field]: value })).rejects.toMatchObject({
    ...{ code: 3, reason: 'INVALID_FIELD', fields: [{ field: `files.${field}` }] },
  });
  expect(await readdir(home)).toEqual([]);
});

it('a device is opened with the bounds of what files can be told', async () => {
  const fetch = () => Promise.reject(new Error('nothing is fetched here'));
  const all: FileOptions[] = [
    { quotaBytes: 0, maxTransfers: 1, stallMs: 1 },
    { quotaBytes: Number.MAX_SAFE_INTEGER, stallMs: 2 ** 31 - 1, decide: () => 'later' },
    { transfer: { fetch } },
  ];
  for (const files of all) await (await open(files)).close();
});
