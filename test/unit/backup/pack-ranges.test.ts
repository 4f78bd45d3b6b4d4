import { randomBytes } from 'node:crypto';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { DamageError } from '../../../services/backup/domain/coding.ts';
import { keys } from '../../../services/backup/domain/keys.ts';
import { PackRanges } from '../../../services/backup/domain/packs/pack-ranges.ts';
import { READ_AHEAD_BYTES } from '../../../services/backup/limits.ts';
import { DiskStore } from '../../../services/backup/store/disk.ts';
import { FaultyStore } from '../../contract/backup/faulty-store.ts';

const { signal } = new AbortController();
const prefix = 'u/user/database/';

/** Packs of three times what is read ahead; their last 100 bytes stand for the index. */
async function packs(used: AsyncDisposableStack, count: number) {
  const folder = used.use(await mkdtempDisposable(join(tmpdir(), 'backscroll-ranges-')));
  const store = new FaultyStore(used.use(await DiskStore.open(folder.path)));
  let gets = 0;
  store.onGet = (_key, bytes) => {
    gets += 1;
    return bytes;
  };
  const sizeBytes = 3 * READ_AHEAD_BYTES;
  const made = Array.from({ length: count }, (_, number) => ({
    place: { id: `pack-${number}`, indexOffset: sizeBytes - 100, sizeBytes },
    bytes: randomBytes(sizeBytes),
  }));
  for (const { place, bytes } of made) await store.put(keys.pack(prefix, place.id), bytes, signal);
  return { made, ranges: new PackRanges(store, prefix, signal), gets: () => gets };
}

test('gives the bytes of ranges in any order', async () => {
  await using used = new AsyncDisposableStack();
  const { made, ranges } = await packs(used, 1);
  const { place, bytes } = made[0]!;
  const all: [offset: number, length: number][] = [
    [0, 10],
    [10, 1_000],
    [500, 2_000],
    [READ_AHEAD_BYTES, 50],
    [READ_AHEAD_BYTES + 30, 2 * READ_AHEAD_BYTES - 130],
    [7, 7],
  ];
  for (const [offset, length] of all) {
    const read = await ranges.read(place, offset, length);
    expect(read.equals(bytes.subarray(offset, offset + length))).toBe(true);
  }
});

test('takes few requests where ranges of several packs follow each other', async () => {
  await using used = new AsyncDisposableStack();
  const { made, ranges, gets } = await packs(used, 3);
  const length = 10_000;
  for (let offset = 0; offset + length <= made[0]!.place.indexOffset; offset += length) {
    for (const { place, bytes } of made) {
      const read = await ranges.read(place, offset, length);
      expect(read.equals(bytes.subarray(offset, offset + length))).toBe(true);
    }
  }
  expect(gets()).toBeLessThanOrEqual(3 * 5);
});

test('tells of a pack that is too short, and of one that is gone', async () => {
  await using used = new AsyncDisposableStack();
  const { made, ranges } = await packs(used, 1);
  const { place } = made[0]!;
  await expect(ranges.read(place, place.sizeBytes - 5, 10)).rejects.toThrow(DamageError);
  await expect(ranges.read({ ...place, id: 'another' }, 0, 10)).rejects.toThrow(DamageError);
});
