import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { unpackFrame } from '../../../clients/format/frames.ts';
import type { DownloadBackupResponse } from '../../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import { DamageError } from '../../../services/backup/domain/coding.ts';
import { findLiving } from '../../../services/backup/domain/collection/living.ts';
import { markDeleted } from '../../../services/backup/domain/kept/deletion.ts';
import { StoredMap } from '../../../services/backup/domain/packs/map-file.ts';
import { MOST_RUNS, TRANSFER_MS } from '../../../services/backup/limits.ts';
import type { BackupStore } from '../../../services/backup/store/store.ts';
import { Random } from '../../support/random.ts';
import { uploadChanges } from './dialogue.ts';
import { engines, never } from './engines.ts';
import { FaultyStore, type PutFault } from './faulty-store.ts';
import { ShiftedStore } from './shifted-store.ts';
import {
  alice,
  collectAll,
  collectOnce,
  compactOnce,
  expectKept,
  GRACE_MS,
  objectsOf,
  packBytes,
} from './tidying.ts';
import { downloadParts, madeDatabase, upload, writePage } from './transfers.ts';

const PAGES = 600;

describe.each(engines)('compaction: %s', (_name, open) => {
  let stack: AsyncDisposableStack;
  let store: ShiftedStore;
  let faulty: FaultyStore;
  /** What each backup is, by its number less 1. */
  let files: Buffer[];

  beforeEach(async () => {
    stack = new AsyncDisposableStack();
    store = new ShiftedStore(await open(stack));
    faulty = new FaultyStore(store);
    files = [];
  });
  afterEach(() => stack.disposeAsync());

  /** Uploads day after day; each day some pages anywhere have changed, and the file has grown. */
  async function days(count: number, changed: number): Promise<void> {
    const random = new Random(7);
    let file = madeDatabase(PAGES);
    for (let day = 0; day < count; day++) {
      file = Buffer.concat([file, madeDatabase(5, 4096, day).subarray(4096)]);
      for (let n = 0; n < changed; n++) {
        writePage(file, random.between(0, file.length / 4096 - 1), 4096, day + 10);
      }
      files.push(file);
      await uploadChanges(store, file);
      store.pass(TRANSFER_MS);
    }
  }

  async function keepOnly(numbers: readonly number[]): Promise<void> {
    for (const number of files.keys()) {
      if (!numbers.includes(number + 1)) await markDeleted(store, alice, number + 1, never);
    }
  }

  /** What a store of nothing but these files has. */
  async function ideal(kept: readonly Buffer[]): Promise<number> {
    const fresh = await open(stack);
    for (const file of kept) await uploadChanges(fresh, file);
    return packBytes(fresh);
  }

  it('brings many uploads together, and keeps the store small', async () => {
    await days(40, 60);
    await keepOnly([38, 39, 40]);
    const ends: boolean[] = [];
    while (!ends.at(-1)) {
      ends.push((await compactOnce(store)).replaced === 0);
      await collectAll(store);
      expect(ends.length).toBeLessThan(10);
    }
    for (const number of [38, 39, 40]) {
      await expectKept(store, BigInt(number), files[number - 1]!);
    }
    expect(await runsOfNewest(store)).toBeLessThanOrEqual(MOST_RUNS);
    expect(await packBytes(store)).toBeLessThan(1.2 * (await ideal(files.slice(37))));
    const changed = Buffer.from(files.at(-1)!);
    writePage(changed, 77, 4096, 99);
    const { asked } = await uploadChanges(store, changed);
    expect(asked).toEqual([77]);
  });

  it('leaves alone what is as it should be', async () => {
    await days(5, 20);
    const before = await objectsOf(store, 'packs');
    expect(await compactOnce(store)).toEqual({ replaced: 0, storedBytes: 0 });
    expect(await objectsOf(store, 'packs')).toEqual(before);
  });

  it('lets downloads that began before it go on, for as long as they may', async () => {
    await days(20, 60);
    await keepOnly([20]);
    const request = { number: 20n };
    const plain = downloadParts(store, request);
    const framed = downloadParts(store, { ...request, frames: true });
    const begun = [await plain.next(), await plain.next()].map(({ value }) => value!);
    const begunFrames = [await framed.next(), await framed.next()].map(({ value }) => value!);
    expect((await compactOnce(store)).replaced).toBeGreaterThan(0);
    await collectOnce(store);
    store.pass(0.9 * GRACE_MS);
    await collectOnce(store);
    const bytes = [...begun, ...(await Array.fromAsync(plain))].map(dataOf);
    expect(Buffer.concat(bytes).equals(files[19]!)).toBe(true);
    const parts = [...begunFrames, ...(await Array.fromAsync(framed))];
    expect((await joined(parts, files[19]!.length)).equals(files[19]!)).toBe(true);
    store.pass(0.1 * GRACE_MS);
    expect((await collectOnce(store)).deleted).toBeGreaterThan(0);
    await expectKept(store, 20n, files[19]!);
  });

  it.each<PutFault>(['lost', 'answer lost'])(
    'loses nothing where it ends at any put, whose %s',
    async (fault) => {
      await days(16, 40);
      await keepOnly([1, 8, 16]);
      for (let at = 1; ; at++) {
        let puts = 0;
        faulty.onPut = () => (++puts === at ? fault : undefined);
        const broke = await compactOnce(faulty).then(
          () => false,
          () => true,
        );
        if (at % 3 === 0) await collectAll(store);
        for (const number of [1, 8, 16]) {
          await expectKept(store, BigInt(number), files[number - 1]!);
        }
        if (!broke) break;
        expect(at).toBeLessThan(30);
      }
      expect(await runsOfNewest(store)).toBeLessThan(MOST_RUNS);
    },
  );

  it('and collection may be done by many at once', async () => {
    await days(20, 40);
    await keepOnly([5, 20]);
    for (let rounds = 0; rounds < 3; rounds++) {
      await Promise.all([compactOnce(store), compactOnce(store)]);
      await collectAll(store);
      for (const number of [5, 20]) await expectKept(store, BigInt(number), files[number - 1]!);
    }
  });

  it('brings an upload that is under way to its end', async () => {
    await days(20, 40);
    await keepOnly([20]);
    const next = Buffer.from(files.at(-1)!);
    writePage(next, 5, 4096, 77);
    faulty.onPut = async (key) => {
      if (!key.includes('/packs/')) return undefined;
      faulty.onPut = () => undefined;
      await compactOnce(store);
      return undefined;
    };
    const { backup } = await upload(faulty, next);
    store.pass(GRACE_MS);
    await collectAll(store);
    await expectKept(store, backup.number, next);
    await expectKept(store, 20n, files.at(-1)!);
  });

  it.each([0, 100])('moves no page that is damaged, in byte %d of frames', async (at) => {
    await days(20, 40);
    await keepOnly([20]);
    const packs = await objectsOf(store, 'packs');
    const damaged = packs.toSorted((one, other) => one.sizeBytes - other.sizeBytes)[0]!.key;
    const damage = (key: string, bytes: Buffer) => {
      if (key === damaged && bytes.length > 5_000) bytes[at]! ^= 1;
      return bytes;
    };
    faulty.onGet = damage;
    await expect(compactOnce(faulty)).rejects.toThrow('other bytes');
    faulty.onGet = (_key, bytes) => bytes;
    expect((await objectsOf(store, 'marks')).map(({ key }) => key)).toEqual([
      damaged.replace('/packs/', '/marks/damaged/'),
    ]);
    expect(await compactOnce(store)).toMatchObject({ replaced: 0 });
    await collectAll(store);
    await expectKept(store, 20n, files.at(-1)!);
    await uploadChanges(store, files.at(-1)!);
    expect((await compactOnce(store)).replaced).toBeGreaterThan(0);
    await collectAll(store);
    await collectAll(store);
    expect((await objectsOf(store, 'packs')).map(({ key }) => key)).not.toContain(damaged);
    await expectKept(store, 20n, files.at(-1)!);
  });

  it('takes no read that went wrong for damage, nor copies what it gave', async () => {
    const first = madeDatabase(PAGES);
    const second = Buffer.from(first);
    for (let page = 0; page < PAGES / 2; page++) writePage(second, page, 4096, 1);
    for (let at = 1; ; at++) {
      const fresh = await open(stack);
      await upload(fresh, first);
      await uploadChanges(fresh, second);
      await markDeleted(fresh, alice, 1, never);
      const wrong = new FaultyStore(fresh);
      let gets = 0;
      wrong.onGet = (_key, bytes) => {
        if (++gets === at) bytes[bytes.length >> 1]! ^= 1;
        return bytes;
      };
      const broke = await compactOnce(wrong).catch((error: unknown) => error);
      expect(await objectsOf(fresh, 'marks'), `get ${at}`).toEqual([]);
      if (broke instanceof Error) {
        expect(broke).toBeInstanceOf(DamageError);
        expect((await compactOnce(fresh)).replaced).toBe(1);
      }
      await expectKept(fresh, 2n, second);
      if (gets < at) break;
    }
  });
});

/** Over how many tries of uploads and compactions the newest backup is spread. */
async function runsOfNewest(store: BackupStore): Promise<number> {
  const { maps } = await findLiving(store, alice, never);
  const { tables } = await StoredMap.open(store, maps[0]!, never);
  return new Set(tables.packs.map(({ id }) => id.slice(0, id.lastIndexOf('-')))).size;
}

type Part = DownloadBackupResponse['part'];

function dataOf(part: Part): Uint8Array {
  return part.case === 'data' ? part.value : Buffer.alloc(0);
}

/** The file that a download's frames hold. */
async function joined(parts: readonly Part[], sizeBytes: number): Promise<Buffer> {
  const file = Buffer.alloc(sizeBytes);
  for (const part of parts) {
    if (part.case !== 'frame') continue;
    const { codec, data, unpackedBytes, pages, positions } = part.value;
    const unpacked = await unpackFrame(codec, data, unpackedBytes);
    for (const [at, page] of pages.entries()) {
      const from = (positions[at] ?? at) * 4096;
      unpacked.copy(file, Number(page) * 4096, from, from + 4096);
    }
  }
  return file;
}
