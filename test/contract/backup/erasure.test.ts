import { beforeEach, describe, expect, it } from 'vitest';
import { TRANSFER_MS } from '../../../services/backup/limits.ts';
import type { BackupStore } from '../../../services/backup/store/store.ts';
import { uploadChanges } from './dialogue.ts';
import { engines, opened } from './engines.ts';
import { erase, keysOf, pruneOf } from './keeping.ts';
import { ShiftedStore } from './shifted-store.ts';
import { callsOf, crash, interleave } from './stepping-store.ts';
import { age, download, list, madeDatabase, upload, writePage } from './transfers.ts';

const ERASED = { code: 10, reason: 'ERASED' };
const file = madeDatabase(40);
const other = madeDatabase(40, 4096, 1);
const similar = Buffer.from(file);
writePage(similar, 7, 4096, 1);
const database = 'backup.db';

describe.each(engines)('an erasure: %s', (_name, open) => {
  let store: BackupStore;
  let users = 0;

  beforeEach(async () => {
    store = await opened(open);
  });

  it('deletes all that is stored of a user, or of one database', async () => {
    await upload(store, file);
    await upload(store, madeDatabase(40, 4096, 1));
    await upload(store, file, { database: 'other' });
    await upload(store, file, { user: 'bob' });

    expect(await erase(store, { database: 'other' })).toBe(1n);
    expect((await list(store, { database: 'other' })).backups).toEqual([]);
    expect((await list(store)).backups).toHaveLength(2);
    expect(await erase(store)).toBe(2n);
    expect(await erase(store)).toBe(0n);
    expect((await list(store)).backups).toEqual([]);
    expect((await age(store)).ageSeconds).toBe(-1);
    expect((await keysOf(store)).filter((key) => !key.includes('/heads/'))).toEqual([]);
    expect((await download(store, { user: 'bob' })).file.equals(file)).toBe(true);
  });

  it('finds nothing where there is nothing', async () => {
    expect(await erase(store, { user: 'nobody' })).toBe(0n);
    expect(await erase(store, { user: 'nobody', database })).toBe(0n);
  });

  it('ends a download as one of a backup that is not there, or lets it come whole', async () => {
    const downloads = (user: string) => (its: BackupStore) => download(its, { user });
    await upload(store, file, { user: 'nobody' });
    const calls = await callsOf(store, downloads('nobody'));
    for (let call = 1; call <= calls; call++) {
      const user = `reader ${call}`;
      await upload(store, file, { user });
      const got = await interleave(store, downloads(user), call, () => erase(store, { user }));
      if (got.status === 'fulfilled') expect(got.value.file.equals(file)).toBe(true);
      else expect(got.reason).toMatchObject({ reason: 'BACKUP_NOT_FOUND' });
    }
  });

  it('leaves nothing that names the user or the database', async () => {
    await upload(store, file, { label: 'a secret label' });
    await erase(store);
    for (const key of await keysOf(store)) {
      expect(key).toMatch(/^[\da-f]{64}\/heads\/\d{16}(\.deleted)?$/);
    }
  });

  it('is over for good once no upload from before can be under way', async () => {
    const shifted = new ShiftedStore(store);
    await upload(shifted, file);
    await erase(shifted);
    await pruneOf(shifted);
    expect(await keysOf(shifted)).toHaveLength(2);
    shifted.pass(2 * TRANSFER_MS + 2_000);
    await pruneOf(shifted);
    expect(await keysOf(shifted)).toEqual([]);
  });

  it('lets numbers go on, and keeps what comes later', async () => {
    const shifted = new ShiftedStore(store);
    await upload(shifted, file, { uploadId: 'one' });
    await erase(shifted);
    const again = await upload(shifted, file, { uploadId: 'one' });
    expect(again).toMatchObject({ repeated: false, unchanged: false, backup: { number: 3n } });
    shifted.pass(2 * TRANSFER_MS + 2_000);
    await pruneOf(shifted);
    expect((await upload(shifted, file)).backup.number).toBe(4n);
    expect((await download(shifted)).file.equals(file)).toBe(true);
    expect(await keysOf(shifted)).not.toContainEqual(expect.stringContaining('.deleted'));
  });

  it.each(['before', 'after'] as const)(
    'that crashes %s any of its calls can be done again, or is finished in the background',
    async (at) => {
      const erases = (user: string) => (its: BackupStore) => erase(its, { user });
      const begin = async () => {
        const user = `user ${users++}`;
        await upload(store, other, { user });
        await upload(store, file, { user, uploadId: 'this' });
        return user;
      };
      const calls = await callsOf(store, erases(await begin()));
      for (let call = 1; call <= calls; call++) {
        const user = await begin();
        await crash(store, erases(user), call, at);
        await expectWhole(user);
        if (call % 2 === 0) await erase(store, { user });
        else await pruneOf(store, undefined, { user, database });
        await expectWhole(user);
        const { backup } = await upload(store, file, { user, uploadId: 'this' });
        await pruneOf(store, undefined, { user, database });
        const { backups } = await list(store, { user });
        expect(backups.map(({ number }) => number)).toContain(backup.number);
        await expectWhole(user);
      }
    },
  );

  it.each([
    ['a user ends a first upload', {}, undefined, upload],
    ['a database ends a first upload', { database }, undefined, upload],
    ['a user ends one that changes all', {}, other, upload],
    ['a user ends one that changes little', {}, similar, upload],
    ['a database ends an incremental one', { database }, similar, uploadChanges],
  ])('of %s that is under way, wherever it is', async (_which, of, before, send) => {
    const sends = (user: string) => async (its: BackupStore) => {
      await send(its, file, { user });
    };
    const begin = async () => {
      const user = `user ${users++}`;
      if (before !== undefined) await upload(store, before, { user });
      return user;
    };
    const calls = await callsOf(store, sends(await begin()));
    // It is under way once it has looked at the heads, and a first one once it has said so.
    const first = before === undefined ? 3 : 2;
    for (let call = 1; call <= calls; call++) {
      const user = await begin();
      const sent = await interleave(store, sends(user), call, () => erase(store, { user, ...of }));
      if (call < first && sent.status === 'fulfilled') {
        expect((await download(store, { user })).file.equals(file)).toBe(true);
        continue;
      }
      const { backups } = await list(store, { user });
      expect(backups, `call ${call} of ${calls}`).toEqual([]);
      if (sent.status === 'rejected') expect(sent.reason).toMatchObject(ERASED);
    }
  });

  describe.each(['a user', 'a database'])('of %s', (what) => {
    const request = (user: string) => (what === 'a user' ? { user } : { user, database });

    it('does no harm to an upload that comes meanwhile, whenever it comes', async () => {
      const erases = (user: string) => (its: BackupStore) => erase(its, request(user));
      const begin = async () => {
        const user = `user ${users++}`;
        await upload(store, file, { user, uploadId: 'this' });
        return user;
      };
      const calls = await callsOf(store, erases(await begin()));
      for (let call = 1; call <= calls; call++) {
        const user = await begin();
        const sending = () => upload(store, file, { user, uploadId: 'this' });
        const erased = await interleave(store, erases(user), call, sending);
        expect(erased.status).toBe('fulfilled');
        await expectWhole(user);
      }
    });

    it('may be done twice at once', async () => {
      await upload(store, file);
      const counts = await Promise.all([
        erase(store, request('alice')),
        erase(store, request('alice')),
      ]);
      expect(counts).toContain(1n);
      const { backup } = await upload(store, file);
      expect((await list(store)).backups).toEqual([backup]);
      await expectWhole('alice');
    });
  });

  /** Whatever is listed can be had. */
  async function expectWhole(user: string): Promise<void> {
    for (const { number, root } of (await list(store, { user })).backups) {
      expect((await download(store, { user, number })).backup.root).toEqual(root);
    }
  }
});
