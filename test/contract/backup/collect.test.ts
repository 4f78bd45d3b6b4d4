import { create } from '@bufbuild/protobuf';
import { beforeEach, describe, expect, it } from 'vitest';
import { DownloadBackupRequestSchema } from '../../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import { markDamaged } from '../../../services/backup/domain/collection/marks.ts';
import { markDeleted } from '../../../services/backup/domain/kept/deletion.ts';
import { downloadBackup } from '../../../services/backup/handlers/download-backup.ts';
import { TRANSFER_MS } from '../../../services/backup/limits.ts';
import { Code } from '../../../services/common/errors.ts';
import { uploadChanges } from './dialogue.ts';
import { engines, never, opened } from './engines.ts';
import { FaultyStore, type PutFault } from './faulty-store.ts';
import { erase } from './keeping.ts';
import { ShiftedStore } from './shifted-store.ts';
import {
  alice,
  collectAll,
  collectOnce,
  DUE_MS,
  expectKept,
  GRACE_MS,
  objectsOf,
} from './tidying.ts';
import { callContext, download, list, madeDatabase, upload, writePage } from './transfers.ts';

describe.each(engines)('collection: %s', (_name, open) => {
  let store: ShiftedStore;
  let faulty: FaultyStore;

  beforeEach(async () => {
    store = new ShiftedStore(await opened(open));
    faulty = new FaultyStore(store);
  });

  const [first, second] = [madeDatabase(100, 4096, 1), madeDatabase(100, 4096, 2)];

  /** Two backups, of which the older is deleted. */
  async function oneDeleted() {
    await upload(store, first);
    await upload(store, second);
    await markDeleted(store, alice, 1, never);
  }

  it('deletes what no backup needs, after its grace and not before', async () => {
    await oneDeleted();
    expect(await collectOnce(store)).toMatchObject({ marked: 0, deleted: 0 });
    store.pass(DUE_MS);
    expect(await collectOnce(store)).toMatchObject({ marked: 2, deleted: 0 });
    for (let looks = 0; looks < 3; looks++) {
      expect(await collectOnce(store)).toMatchObject({ marked: 0, deleted: 0 });
      expect(await objectsOf(store, 'packs')).toHaveLength(2);
      store.pass(GRACE_MS / 3);
    }
    expect(await collectOnce(store)).toMatchObject({ marked: 0, deleted: 2 });
    expect(await objectsOf(store, 'packs')).toHaveLength(1);
    expect(await objectsOf(store, 'maps')).toHaveLength(1);
    expect(await objectsOf(store, 'marks')).toEqual([]);
    await expectKept(store, 2n, second);
    const { backup } = await upload(store, first);
    await expectKept(store, backup.number, first);
  });

  it('deletes nothing that a backup needs, whatever its age', async () => {
    const changed = Buffer.from(first);
    writePage(changed, 50, 4096, 9);
    await uploadChanges(store, first);
    await uploadChanges(store, changed);
    await upload(store, first);
    await markDeleted(store, alice, 1, never);
    for (let rounds = 0; rounds < 3; rounds++) await collectAll(store);
    await expectKept(store, 2n, changed);
    await expectKept(store, 3n, first);
    expect(await objectsOf(store, 'marks')).toEqual([]);
  });

  it('spares what an upload left, until it is too old to go on', async () => {
    const file = madeDatabase(900, 4096, 3);
    const start = { uploadId: 'broken' };
    const broken = uploadChanges(store, file, start, {
      onRequest: ({ case: kind, value }) => {
        if (kind === 'frame' && value.pages[0]! >= 400n) throw new Error('the client is gone');
      },
    });
    await expect(broken).rejects.toThrow('the client is gone');
    const left = await objectsOf(store, 'packs');
    expect(left).not.toEqual([]);
    store.pass(6 * TRANSFER_MS);
    expect(await collectOnce(store)).toMatchObject({ marked: 0 });
    store.pass(2 * TRANSFER_MS);
    expect(await collectOnce(store)).toMatchObject({ marked: left.length });
    const { asked } = await uploadChanges(store, file, start);
    expect(asked).toHaveLength(900);
    await collectAll(store);
    const packs = (await objectsOf(store, 'packs')).map(({ key }) => key);
    for (const { key } of left) expect(packs).not.toContain(key);
    await expectKept(store, 1n, file);
  });

  it('spares no longer what was committed after an erasure', async () => {
    await upload(store, madeDatabase(40));
    await erase(store);
    const { backup } = await upload(store, madeDatabase(40, 4096, 1));
    await upload(store, madeDatabase(40, 4096, 2));
    await markDeleted(store, alice, Number(backup.number), never);
    store.pass(DUE_MS);
    // A pack and a map.
    expect(await collectOnce(store)).toMatchObject({ marked: 2 });
  });

  it('takes the force from a mark of what is needed again', async () => {
    await oneDeleted();
    store.pass(DUE_MS);
    // It looks for the last time, finds no mark, and is held back.
    const held = holdHead();
    const uploading = upload(faulty, first);
    await held.reached;
    expect(await collectOnce(store)).toMatchObject({ marked: 2 });
    held.release();
    const { backup } = await uploading;
    for (let looks = 0; looks < 3; looks++) {
      store.pass(GRACE_MS);
      await collectOnce(store);
      await expectKept(store, backup.number, first);
    }
    // A mark that had lost its force is not taken for an old one.
    await markDeleted(store, alice, Number(backup.number), never);
    expect(await collectOnce(store)).toMatchObject({ marked: 2, deleted: 0 });
    store.pass(GRACE_MS);
    expect(await collectOnce(store)).toMatchObject({ deleted: 2 });
    await expectKept(store, 2n, second);
  });

  it('ends an upload that relies on what it marks meanwhile, which then goes on', async () => {
    await oneDeleted();
    store.pass(DUE_MS);
    const held = hold('/packs/');
    const uploading = upload(faulty, first, { uploadId: 'again' });
    await held.reached;
    expect(await collectOnce(store)).toMatchObject({ marked: 2 });
    held.release();
    await expect(uploading).rejects.toMatchObject({ reason: 'COLLECTED' });
    const { backup } = await upload(store, first, { uploadId: 'again' });
    store.pass(GRACE_MS);
    expect(await collectOnce(store)).toMatchObject({ deleted: 2 });
    await expectKept(store, backup.number, first);
    await expectKept(store, 2n, second);
  });

  it('has to do with no upload that takes too long', async () => {
    const held = hold('/packs/');
    const uploading = upload(faulty, first);
    await held.reached;
    store.pass(DUE_MS);
    held.release();
    await expect(uploading).rejects.toMatchObject({ reason: 'TAKES_TOO_LONG' });
    expect((await list(store)).backups).toEqual([]);
    expect(await objectsOf(store, 'maps')).toEqual([]);
  });

  it.each([false, true])(
    'has to do with no download that takes too long, of frames: %s',
    async (frames) => {
      await uploadChanges(store, madeDatabase(200));
      const request = create(DownloadBackupRequestSchema, { user: 'alice', frames });
      const download = downloadBackup(store, request, callContext(), 0);
      await expect(Array.fromAsync(download)).rejects.toMatchObject({
        code: Code.UNAVAILABLE,
        reason: 'TAKES_TOO_LONG',
      });
    },
  );

  it('leaves all as it is where a head is damaged', async () => {
    await oneDeleted();
    store.pass(DUE_MS);
    faulty.onGet = (key, bytes) => (key.includes('/heads/') ? Buffer.from('{}') : bytes);
    await expect(collectOnce(faulty)).rejects.toThrow('check');
    expect(await objectsOf(store, 'marks')).toEqual([]);
  });

  it.each<PutFault>(['lost', 'answer lost'])(
    'goes on after it ended at any call, whose %s',
    async (fault) => {
      await oneDeleted();
      for (let at = 1; ; at++) {
        let calls = 0;
        const fail = () => (++calls === at ? fault : undefined);
        [faulty.onPut, faulty.onDelete] = [fail, fail];
        if (at % 2 === 1) store.pass(at === 1 ? DUE_MS : GRACE_MS);
        const broke = await collectOnce(faulty).then(
          () => false,
          () => true,
        );
        await expectKept(store, 2n, second);
        if (!broke && (await objectsOf(store, 'packs')).length === 1) break;
        expect(at).toBeLessThan(30);
      }
      await collectOnce(store);
      expect(await objectsOf(store, 'marks')).toEqual([]);
      expect(await objectsOf(store, 'maps')).toHaveLength(1);
    },
  );

  it('may be done by many at once', async () => {
    await oneDeleted();
    store.pass(DUE_MS);
    await Promise.all([1, 2, 3].map(() => collectOnce(store)));
    store.pass(GRACE_MS);
    await Promise.all([1, 2, 3].map(() => collectOnce(store)));
    await collectOnce(store);
    expect(await objectsOf(store, 'packs')).toHaveLength(1);
    expect(await objectsOf(store, 'marks')).toEqual([]);
    await expectKept(store, 2n, second);
  });

  it('leaves damaged packs that are needed, which no upload uses again', async () => {
    await uploadChanges(store, first);
    const [pack] = await objectsOf(store, 'packs');
    await markDamaged(store, alice, pack!.key.slice(`${alice}packs/`.length), never);
    const { asked, unchanged } = await uploadChanges(store, first);
    expect([asked.length, unchanged]).toEqual([100, false]);
    expect(await objectsOf(store, 'packs')).toHaveLength(2);
    expect((await uploadChanges(store, first)).unchanged).toBe(true);
    await collectAll(store);
    // The newer map of the same root serves the older backups as well.
    expect((await objectsOf(store, 'packs')).map(({ key }) => key)).not.toContain(pack!.key);
    expect(await objectsOf(store, 'marks')).toEqual([]);
    for (const number of [1n, 2n, 3n]) await expectKept(store, number, first);
    expect((await download(store)).backup.number).toBe(3n);
  });

  function holdHead() {
    return hold('/heads/');
  }

  /** Holds back the first put of such a key. */
  function hold(part: string) {
    const reached = Promise.withResolvers<void>();
    const released = Promise.withResolvers<void>();
    faulty.onPut = async (key) => {
      if (!key.includes(part) || key.endsWith('9007199254740991')) return undefined;
      reached.resolve();
      await released.promise;
      return undefined;
    };
    return { reached: reached.promise, release: released.resolve };
  }
});
