import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Pin, Warning } from '../../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import { databasesOf } from '../../../services/backup/domain/databases.ts';
import { type DatabaseName, keys, type Note } from '../../../services/backup/domain/keys.ts';
import { takeRound } from '../../../services/backup/domain/round.ts';
import { encodeFailure } from '../../../services/backup/domain/verification/verdict.ts';
import { UPLOAD_LIMITS } from '../../../services/backup/handlers/upload-backup.ts';
import { Keeper } from '../../../services/backup/keeper.ts';
import { TRANSFER_MS } from '../../../services/backup/limits.ts';
import type { CallContext } from '../../../services/common/call.ts';
import { createLogger } from '../../../services/common/logger.ts';
import { Metrics } from '../../../services/common/metrics.ts';
import { eventually } from '../../support/eventually.ts';
import { engines, never } from './engines.ts';
import { FaultyStore } from './faulty-store.ts';
import { erase, KEEP_ALL, keysOf, pin, pruneOf, remove, usage } from './keeping.ts';
import { ShiftedStore } from './shifted-store.ts';
import { callsOf, crash, interleave } from './stepping-store.ts';
import {
  age,
  callContext,
  download,
  list,
  madeDatabase,
  send,
  unverified,
  upload,
  uploadRequests,
} from './transfers.ts';

const NOT_FOUND = { reason: 'BACKUP_NOT_FOUND' };
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const prefix = keys.database({ user: 'alice', database: 'backup.db' });
const file = madeDatabase(20);

describe.each(engines)('kept backups: %s', (_name, open) => {
  let stack: AsyncDisposableStack;
  let store: ShiftedStore;

  beforeEach(async () => {
    stack = new AsyncDisposableStack();
    store = new ShiftedStore(await open(stack));
  });
  afterEach(() => stack.disposeAsync());

  describe('that are deleted', () => {
    it('are gone for everybody, and their numbers are not used again', async () => {
      for (const seed of [1, 2, 3]) await upload(store, madeDatabase(20, 4096, seed));
      await remove(store, { number: 3n });
      expect(await numbers()).toEqual([2n, 1n]);
      expect((await age(store)).newestNumber).toBe(2n);
      expect((await download(store)).backup.number).toBe(2n);
      await expect(download(store, { number: 3n })).rejects.toMatchObject(NOT_FOUND);
      await expect(pin(store, { number: 3n })).rejects.toMatchObject(NOT_FOUND);
      await expect(remove(store, { number: 3n })).rejects.toMatchObject(NOT_FOUND);
      await expect(remove(store, { number: 9n })).rejects.toMatchObject(NOT_FOUND);

      const again = await upload(store, madeDatabase(20, 4096, 3));
      expect(again).toMatchObject({ unchanged: false, backup: { number: 4n } });
      await remove(store, { number: 1n });
      await remove(store, { number: 2n });
      await remove(store, { number: 4n });
      expect(await numbers()).toEqual([]);
      expect((await age(store)).ageSeconds).toBe(-1);
      expect((await upload(store, file)).backup.number).toBe(5n);
    });

    it('make an upload with the id of one a new one', async () => {
      await upload(store, file, { uploadId: 'one' });
      await remove(store, { number: 1n });
      const again = await upload(store, file, { uploadId: 'one' });
      expect(again).toMatchObject({ repeated: false, backup: { number: 2n } });
    });

    it('stay deleted where retention takes back what it began to delete meanwhile', async () => {
      const policy = { ...KEEP_ALL, last: 1 };
      const fill = async (name: DatabaseName) => {
        for (const seed of [1, 2, 3]) await upload(store, madeDatabase(20, 4096, seed), name);
        store.pass(policy.floorMs + 2_000);
        return keys.database(name);
      };
      const name = { user: 'alice', database: 'count' };
      await fill(name);
      const calls = await callsOf(store, (on) => pruneOf(on, policy, name));
      for (let call = 1; call <= calls; call++) {
        const name = { user: 'alice', database: `database ${call}` };
        const prefix = await fill(name);
        await interleave(
          store,
          (on) => pruneOf(on, policy, name),
          call,
          async () => {
            // A pin would have retention take it back.
            await store.put(keys.note(prefix, 1, 'pin-asked'), Buffer.alloc(0), never);
            await remove(store, { ...name, number: 1n }).catch((error: unknown) => {
              expect(error).toMatchObject({ reason: 'BACKUP_NOT_FOUND' });
            });
          },
        );
        expect((await list(store, name)).backups.map(({ number }) => number)).not.toContain(1n);
      }
    });

    it('leave their heads until no upload can take their numbers', async () => {
      for (const seed of [1, 2, 3]) await upload(store, madeDatabase(20, 4096, seed));
      await remove(store, { number: 1n });
      await remove(store, { number: 3n });
      await pruneOf(store);
      expect(await heads()).toHaveLength(6); // three, two notes, and that uploads have begun
      store.pass(2 * TRANSFER_MS + 2_000);
      await pruneOf(store);
      expect(await heads()).toHaveLength(4); // the highest number is still in use
      await upload(store, file);
      await pruneOf(store);
      expect(await heads()).toHaveLength(3);
      expect(await numbers()).toEqual([4n, 2n]);
    });

    it('never give their number to an upload that is under way', async () => {
      const work = (its: Parameters<typeof upload>[0]) => upload(its, file);
      await upload(store, madeDatabase(20, 4096, 1));
      const calls = await callsOf(store, work);
      for (let call = 1; call <= calls; call++) {
        const used: bigint[] = [];
        const sent = await interleave(store, work, call, async () => {
          for (const seed of [call, -call]) {
            used.push((await upload(store, madeDatabase(20, 4096, seed))).backup.number);
          }
          await remove(store, { number: used[0]! });
          await pruneOf(store);
        });
        if (sent.status === 'rejected') throw sent.reason;
        expect(used).not.toContain(sent.value.backup.number);
      }
    });

    it('are not there or gone wholly when the end of a deletion crashes', async () => {
      const work = (its: Parameters<typeof pruneOf>[0]) => pruneOf(its);
      const begin = async () => {
        const { backup } = await upload(store, madeDatabase(20, 4096, 1));
        await pin(store, { number: backup.number });
        await remove(store, { number: backup.number });
        await upload(store, file);
        store.pass(2 * TRANSFER_MS + 2_000);
      };
      await begin();
      const calls = await callsOf(store, work);
      for (let call = 1; call <= calls; call++) {
        await begin();
        const left = await numbers();
        await crash(store, work, call, call % 2 === 0 ? 'before' : 'after');
        expect(await numbers()).toEqual(left);
        await pruneOf(store);
        store.pass(2 * TRANSFER_MS + 2_000);
        await pruneOf(store);
        expect(await numbers()).toEqual(left);
        expect(await heads()).toHaveLength(left.length + 1);
      }
    });
  });

  describe('by a policy', () => {
    it('are those of days that it names, never younger than its floor', async () => {
      for (let day = 0; day < 10; day++) {
        await upload(store, madeDatabase(20, 4096, day));
        await upload(store, madeDatabase(20, 4096, -day));
        store.pass(DAY_MS);
      }
      const policy = { ...KEEP_ALL, last: 1, daily: 3, floorMs: 400 * DAY_MS };
      expect(await pruneOf(store, policy)).toBe(0);
      expect(await pruneOf(store, { ...policy, floorMs: HOUR_MS })).toBe(17);
      expect(await numbers()).toEqual([20n, 18n, 16n]);
      expect(await pruneOf(store, { ...policy, floorMs: HOUR_MS })).toBe(0);
      await expect(download(store, { number: 16n })).resolves.toBeDefined();
    });

    it('do not count when they failed, and the newest that passed is kept', async () => {
      const policy = { ...KEEP_ALL, last: 1 };
      for (const seed of [1, 2, 3, 4, 5]) await upload(store, madeDatabase(20, 4096, seed));
      await note(2, 'passed');
      await note(4, 'failed');
      await note(5, 'failed');
      expect(await pruneOf(store, policy)).toBe(1);
      expect(await numbers()).toEqual([5n, 4n, 3n, 2n]);
      await upload(store, file);
      expect(await pruneOf(store, policy)).toBe(3);
      expect(await numbers()).toEqual([6n, 2n]);
    });

    it('are kept where all newer ones can not be read', async () => {
      const faulty = new FaultyStore(store);
      for (const seed of [1, 2, 3]) await upload(faulty, madeDatabase(20, 4096, seed));
      faulty.onGet = (key, bytes) => (key === keys.head(prefix, 3) ? Buffer.from('{}') : bytes);
      expect(await pruneOf(faulty, { ...KEEP_ALL, last: 1 })).toBe(1);
      expect((await download(faulty)).backup.number).toBe(2n);
      await remove(faulty, { number: 3n });
      expect(await numbers()).toEqual([2n]);
    });

    it('may be deleted by several at once', async () => {
      for (const seed of [1, 2, 3, 4]) await upload(store, madeDatabase(20, 4096, seed));
      const policy = { ...KEEP_ALL, last: 2 };
      await Promise.all([1, 2, 3].map(() => pruneOf(store, policy)));
      expect(await numbers()).toEqual([4n, 3n]);
    });

    it('are kept when they are pinned meanwhile, or a newer one fails', async () => {
      const policy = { ...KEEP_ALL, last: 1 };
      const work = (its: Parameters<typeof pruneOf>[0]) => pruneOf(its, policy);
      const begin = async () => {
        for (const seed of [1, 2, 3]) await upload(store, madeDatabase(20, 4096, seed));
        return (await numbers()).slice(0, 3);
      };
      await begin();
      const calls = await callsOf(store, work);
      for (let call = 1; call <= calls; call++) {
        const [newest, middle, oldest] = await begin();
        let isPinned = true;
        await interleave(store, work, call, async () => {
          await note(Number(newest), 'failed');
          isPinned = await pin(store, { number: oldest! }).then(
            () => true,
            () => false,
          );
        });
        const left = await numbers();
        expect(left, `call ${call} of ${calls}`).toContain(newest);
        if (isPinned) expect(left, `call ${call} of ${calls}`).toContain(oldest);
        // Once both were looked at again, it may be too late for what was good only before.
        if (call < calls - 4) expect(left).toContain(middle);
        for (const number of left) await remove(store, { number });
      }
    });
  });

  describe('that are pinned', () => {
    it('stay until they are unpinned', async () => {
      const policy = { ...KEEP_ALL, last: 1 };
      for (const seed of [1, 2, 3]) await upload(store, madeDatabase(20, 4096, seed));
      expect(await pin(store, { number: 1n })).toMatchObject({ number: 1n, pin: Pin.ASKED });
      expect((await pin(store, { number: 1n })).pin).toBe(Pin.ASKED);
      expect(await pruneOf(store, policy)).toBe(1);
      expect(await numbers()).toEqual([3n, 1n]);
      expect((await pin(store, { number: 1n, unpin: true })).pin).toBe(Pin.UNSPECIFIED);
      expect(await pruneOf(store, policy)).toBe(1);
    });

    it('can be deleted all the same', async () => {
      await upload(store, file);
      await pin(store, { number: 1n });
      await remove(store, { number: 1n });
      expect(await numbers()).toEqual([]);
    });

    it('are those before one that shrank or is of a younger database', async () => {
      const from = (databaseCreatedAtMs: bigint) => ({ databaseCreatedAtMs });
      const whole = await upload(store, madeDatabase(40), from(5n));
      expect(whole.backup.warnings).toEqual([]);
      expect((await upload(store, madeDatabase(20), from(5n))).backup.warnings).toEqual([]);
      expect((await upload(store, madeDatabase(9), from(5n))).backup).toMatchObject({
        warnings: [Warning.SHRUNK],
        pin: Pin.UNSPECIFIED,
      });
      const younger = await upload(store, madeDatabase(4), from(6n));
      expect(younger.backup.warnings).toEqual([Warning.SHRUNK, Warning.YOUNGER]);
      expect((await upload(store, madeDatabase(9), from(0n))).backup.warnings).toEqual([]);

      const pins = (await list(store)).backups.map((backup) => backup.pin);
      const { BEFORE_WARNING: warned, UNSPECIFIED: none } = Pin;
      expect(pins).toEqual([none, none, warned, warned, none]);
      expect(await pruneOf(store, { ...KEEP_ALL, last: 1 })).toBe(2);
      expect(await numbers()).toEqual([5n, 3n, 2n]);
      expect((await pin(store, { number: 2n, unpin: true })).pin).toBe(Pin.UNSPECIFIED);
    });
  });

  it('lose a pin whose upload lost its number, unless another has the warning', async () => {
    const from = (databaseCreatedAtMs: bigint) => ({ databaseCreatedAtMs });
    const small = madeDatabase(4);
    for (const [other, pinned] of [
      [madeDatabase(20, 4096, 1), Pin.UNSPECIFIED],
      [madeDatabase(5), Pin.BEFORE_WARNING],
    ] as const) {
      const { backup } = await upload(store, file);
      const faulty = new FaultyStore(store);
      let isLost = false;
      faulty.onPut = async (key) => {
        if (isLost || key !== keys.head(prefix, Number(backup.number) + 1)) return undefined;
        isLost = true;
        await upload(store, other, from(1n));
        return undefined;
      };
      await upload(faulty, small, from(1n));
      expect(isLost).toBe(true);
      const [, winner, before] = (await list(store)).backups;
      expect(before).toMatchObject({ number: backup.number, pin: pinned });
      expect(winner!.number).toBe(backup.number + 1n);
    }
  });

  it('are not hidden by an upload that knows of an erasure which is over', async () => {
    const calls = await callsOf(store, (on) => upload(on, file, { database: 'count' }));
    const other = madeDatabase(20, 4096, 1);
    for (let call = 1; call <= calls; call++) {
      const name = { user: 'alice', database: `database ${call}` };
      await upload(store, file, name);
      await erase(store, name);
      const mark = keys.head(keys.database(name), 2);
      const late = await interleave(
        store,
        (on) => upload(on, file, name),
        call,
        async () => {
          // As a round does that saw nothing but the erasure.
          await store.delete(mark, never);
          await store.delete(keys.note(keys.database(name), 2, 'deleted'), never);
          await upload(store, other, name);
        },
      );
      if (late.status === 'rejected') {
        expect(late.reason).toMatchObject({ reason: 'CONCURRENT_UPLOAD' });
      }
      // It removes what lies below the erasure that the newest head knows of.
      await pruneOf(store, KEEP_ALL, name);
      const { backups } = await list(store, name);
      const files = await Promise.all(
        backups.map(async ({ number }) => (await download(store, { ...name, number })).file),
      );
      expect(
        files.some((got) => got.equals(other)),
        `call ${call} of ${calls}`,
      ).toBe(true);
      expect((await age(store, name)).newestNumber).toBeGreaterThan(0n);
    }
  });

  describe('of a user', () => {
    it('are added up', async () => {
      expect(await usage(store, 7)).toMatchObject({
        ...{ storedBytes: 0n, quotaBytes: 7n, backups: 0n, databases: 0 },
      });
      await upload(store, file);
      await upload(store, madeDatabase(20, 4096, 1));
      const { backup } = await upload(store, file, { database: 'other' });
      await upload(store, file, { user: 'bob' });
      const { storedBytes, backups, databases } = await usage(store);
      const { backups: listed } = await list(store);
      const added = [...listed, backup].reduce((sum, one) => sum + one.storedBytes, 0n);
      expect({ storedBytes, backups, databases }).toEqual({
        ...{ storedBytes: added, backups: 3n, databases: 2 },
      });
      await remove(store, { number: 2n });
      await remove(store, { number: 1n, database: 'other' });
      expect(await usage(store)).toMatchObject({ backups: 1n, databases: 1 });
    });

    it('take up no more than they may', async () => {
      const exceeded = { code: 8, reason: 'QUOTA_EXCEEDED' };
      const large = madeDatabase(4_000);
      const within = (quotaBytes: bigint, requests = uploadRequests(large)) =>
        send(store, requests, undefined, unverified, {
          ...UPLOAD_LIMITS,
          quotaBytes: Number(quotaBytes),
        });
      const { storedBytes } = (await upload(store, file, { uploadId: 'one' })).backup;
      await expect(within(storedBytes)).rejects.toMatchObject(exceeded);
      const again = await within(storedBytes, uploadRequests(file, { uploadId: 'one' }));
      expect(again.at(-1)).toMatchObject({ case: 'result', value: { repeated: true } });

      const nearly = storedBytes + 50_000n;
      await expect(within(nearly)).rejects.toMatchObject(exceeded);
      expect((await usage(store)).storedBytes).toBeLessThanOrEqual(nearly);
      await within(storedBytes + 4_000_000n);
      expect(await numbers()).toEqual([2n, 1n]);
      await within(4_000_000n, uploadRequests(large, { user: 'bob' }));
    });
  });

  it('are kept, deleted and counted for their user alone, and by their numbers', async () => {
    await upload(store, file);
    const invalid = (reason: string, field: string) => ({ reason, fields: [{ field }] });
    const missing = invalid('MISSING_FIELD', 'number');
    await expect(remove(store, {})).rejects.toMatchObject(missing);
    await expect(pin(store, {})).rejects.toMatchObject(missing);
    const large = { number: 2n ** 53n };
    const tooLarge = invalid('INVALID_FIELD', 'number');
    await expect(remove(store, large)).rejects.toMatchObject(tooLarge);
    await expect(pin(store, large)).rejects.toMatchObject(tooLarge);
    const nobody = { user: '' };
    const noUser = invalid('MISSING_FIELD', 'user');
    await expect(remove(store, { ...nobody, number: 1n })).rejects.toMatchObject(noUser);
    await expect(erase(store, nobody)).rejects.toMatchObject(noUser);
    await expect(usage(store, 0, callContext(), nobody)).rejects.toMatchObject(noUser);

    const bob: CallContext = { ...callContext(), caller: { kind: 'user', user: 'bob' } };
    const denied = { reason: 'NOT_THE_CALLER' };
    await expect(remove(store, { number: 1n }, bob)).rejects.toMatchObject(denied);
    await expect(pin(store, { number: 1n }, bob)).rejects.toMatchObject(denied);
    await expect(erase(store, {}, bob)).rejects.toMatchObject(denied);
    await expect(usage(store, 0, bob)).rejects.toMatchObject(denied);
    expect(await numbers()).toEqual([1n]);
  });

  describe('in the background', () => {
    it('are found, whosever they are', async () => {
      const names = ['alice', 'bob', 'carol'].flatMap((user) =>
        ['backup.db', 'other'].map((database) => ({ user, database })),
      );
      for (const name of names) await upload(store, file, name);
      await takeRound(store, 'job', HOUR_MS, never);
      const all = await Array.fromAsync(databasesOf(store, never));
      expect(all).toEqual(names.map(keys.database).sort());
      const own = await Array.fromAsync(databasesOf(store, never, keys.user('bob')));
      expect(own).toEqual(all.filter((one) => one.startsWith(keys.user('bob'))));
    });

    it('are looked at by one replica in each interval', async () => {
      expect(await takeRound(store, 'job', HOUR_MS, never)).toBe(true);
      expect(await takeRound(store, 'job', HOUR_MS, never)).toBe(false);
      expect(await takeRound(store, 'other', HOUR_MS, never)).toBe(true);
      store.pass(HOUR_MS);
      const taken = await Promise.all([1, 2, 3].map(() => takeRound(store, 'job', HOUR_MS, never)));
      expect(taken.filter((one) => one)).toHaveLength(1);
      expect(await store.list(keys.rounds('job'), { limit: 9 }, never)).toHaveLength(1);
    });

    it('are deleted by the policy, with what they alone needed, by any of several keepers', async () => {
      for (const user of ['alice', 'bob']) {
        for (const seed of [1, 2, 3]) await upload(store, madeDatabase(20, 4096, seed), { user });
      }
      const whole = await packs();
      const metrics = [new Metrics(), new Metrics()];
      const log = createLogger('test', 'silent');
      const policy = { ...KEEP_ALL, last: 1 };
      for (const one of metrics) {
        const parts = { store, policy, everyMs: 50, transferMs: HOUR_MS, log, metrics: one };
        stack.use(new Keeper(parts));
      }
      const grown = async (name: string, from: number) => {
        const grows = async () => expect(await counted(metrics, name)).toBeGreaterThan(from);
        await eventually(grows);
      };
      await grown('backup_pruned_total', 3); // two of each user's, by one of them or by both
      for (let passed = 0; passed < 8; passed++) {
        store.pass(HOUR_MS + 2_000);
        const rounds = await counted(metrics, 'backup_keep_rounds_total');
        await grown('backup_keep_rounds_total', rounds + 2);
      }
      expect(await packs()).toBeLessThan(whole);
      expect(await counted(metrics, 'backup_keep_failures_total')).toBe(0);
      for (const user of ['alice', 'bob']) {
        const { backup, file: last } = await download(store, { user });
        expect(backup.number).toBe(3n);
        expect(last.equals(madeDatabase(20, 4096, 3))).toBe(true);
      }
    });
  });

  async function numbers(): Promise<bigint[]> {
    return (await list(store)).backups.map(({ number }) => number);
  }

  async function heads(): Promise<string[]> {
    return (await keysOf(store)).filter((key) => /\/heads\/(?!.*\.doubt$)/.test(key));
  }

  async function packs(): Promise<number> {
    return (await keysOf(store)).filter((key) => key.includes('/packs/')).length;
  }

  async function note(number: number, which: Note): Promise<void> {
    const failure = encodeFailure({ reason: 'CORRUPT', detail: 'a test says so' });
    await store.put(keys.note(prefix, number, which), failure, never);
  }

  async function counted(metrics: readonly Metrics[], name: string): Promise<number> {
    const values = metrics.map(async ({ registry }) => {
      const metric = await registry.getSingleMetric(name)!.get();
      return metric.values[0]?.value ?? 0;
    });
    return (await Promise.all(values)).reduce((sum, value) => sum + value, 0);
  }
});
