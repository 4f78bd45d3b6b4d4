import { randomBytes } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import { Download } from '../../../clients/backup/download.ts';
import { unpackFrames } from '../../../clients/backup/frames-download.ts';
import { RootDigest } from '../../../clients/format/digests.ts';
import type {
  Backup,
  UploadBackupRequest,
} from '../../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import { openSealed } from '../../../clients/sealing/backup-key.ts';
import { MasterKey } from '../../../clients/sealing/master-key.ts';
import { decodeHead, encodeHead } from '../../../services/backup/domain/kept/head.ts';
import { keys } from '../../../services/backup/domain/keys.ts';
import { findMap, MapBuilder, StoredMap } from '../../../services/backup/domain/packs/map-file.ts';
import { uploadChanges, type Watch } from './dialogue.ts';
import { engines, never, opened } from './engines.ts';
import { FaultyStore } from './faulty-store.ts';
import { download, downloadParts, list, madeDatabase, upload, writePage } from './transfers.ts';

const name = { user: 'alice', database: 'backup.db' };
const secret = randomBytes(32);
const key = MasterKey.ofBytes(secret);
const sealer = key.sealer(name);

describe.each(engines)('sealed uploads: %s', (_name, open) => {
  let store: FaultyStore;

  beforeEach(async () => {
    store = new FaultyStore(await opened(open));
  });

  const uploadSealed = (file: Buffer, uploadId = '', watch: Watch = {}) =>
    uploadChanges(store, file, { key: key.description, uploadId }, { sealer, ...watch });

  async function read(number = 0n): Promise<Buffer> {
    const sealerOf = (backup: Backup) => openSealed(backup, secret, name);
    async function* answers(number: bigint) {
      for await (const part of downloadParts(store, { number, frames: true })) yield { part };
    }
    const open = (number: bigint) => unpackFrames(answers(number), 0, sealerOf);
    const download = await Download.open(open, sealerOf, number, 0, undefined);
    return Buffer.concat(await Array.fromAsync(download));
  }

  it('go on where they were, whenever the client was gone', async () => {
    const file = madeDatabase(1_000);
    const frames = Math.ceil(1_000 / 64);
    for (const broken of [1, 5, frames, frames + 1]) {
      const id = `upload ${broken}`;
      for (let page = 0; page < 1_000; page++) writePage(file, page, 4096, broken);
      const received: number[] = [];
      const onRequest = ({ case: kind, value }: UploadBackupRequest['part']) => {
        if (kind === 'seal' || (kind === 'frame' && received.length >= broken * 64)) {
          throw new Error('the client is gone');
        }
        if (kind === 'frame') received.push(...value.pages.map(Number));
      };
      await expect(uploadSealed(file, id, { onRequest })).rejects.toThrow('the client is gone');
      const { asked } = await uploadSealed(file, id);
      expect([...received, ...asked]).toEqual([...Array(1_000).keys()]);
      expect((await read()).equals(file)).toBe(true);
      expect((await uploadSealed(file, id)).repeated).toBe(true);
    }
    expect((await list(store)).backups).toHaveLength(4);
  });

  it('send once more what is left of frames that are mostly dead, and then add nothing', async () => {
    const file = madeDatabase(1_000);
    await uploadSealed(file);
    // Of each frame of 64 pages the first 40 change, in two steps.
    const change = (from: number, to: number) => {
      for (let page = 0; page < 1_000; page++) {
        if (page % 64 >= from && page % 64 < to) writePage(file, page, 4096, to);
      }
    };
    change(0, 20);
    expect((await uploadSealed(file)).asked).toHaveLength(16 * 20);
    change(20, 40);
    // The frames are worn only once this backup is the one that others are compared with.
    expect((await uploadSealed(file)).asked).toHaveLength(16 * 20);
    const same = await uploadSealed(file);
    expect(same).toMatchObject({ asked: [], unchanged: true });
    change(0, 1);
    const rest = 1_000 - 16 * 40;
    expect((await uploadSealed(file)).asked).toHaveLength(16 + rest);
    change(1, 2);
    expect((await uploadSealed(file)).asked).toHaveLength(16);
    expect((await read()).equals(file)).toBe(true);
  });

  it('know nothing of plain pages that the same upload left, nor plain ones of theirs', async () => {
    const file = madeDatabase(200);
    const onRequest = ({ case: kind }: UploadBackupRequest['part']) => {
      if (kind === 'seal') throw new Error('the client is gone');
    };
    await expect(uploadSealed(file, 'one', { onRequest })).rejects.toThrow('gone');
    const plain = await upload(store, file, { uploadId: 'one' });
    expect((await download(store)).file.equals(file)).toBe(true);
    expect(plain.backup.key).toBeUndefined();
    const conflict = { reason: 'UPLOAD_ID_CONFLICT' };
    await expect(uploadSealed(file, 'one')).rejects.toMatchObject(conflict);
    expect((await uploadSealed(file, 'two')).asked).toHaveLength(200);
    await expect(upload(store, file, { uploadId: 'two' })).rejects.toMatchObject(conflict);
  });

  it('are not begun where the service would not keep them sealed', async () => {
    const file = madeDatabase(100);
    const sent: (string | undefined)[] = [];
    const refused = uploadSealed(file, '', {
      onRequest: ({ case: kind }) => void sent.push(kind),
      onAnswer: (part) => {
        // As a service that has never heard of keys.
        if (part.case === 'accepted') part.value.keyId = Buffer.alloc(0);
      },
    });
    await expect(refused).rejects.toMatchObject({ reason: 'SEALING_UNSUPPORTED' });
    expect(sent).not.toContain('frame');
  });

  it('are given out as frames alone', async () => {
    await uploadSealed(madeDatabase(10));
    await expect(download(store)).rejects.toMatchObject({ reason: 'SEALED' });
  });

  it('are given out in no more bytes than are stored, however scattered their pages are', async () => {
    const file = madeDatabase(5_000);
    await uploadSealed(file);
    for (let seed = 1; seed <= 4; seed++) {
      for (let page = seed; page < 5_000; page += 60) randomBytes(4096).copy(file, page * 4096);
      await uploadSealed(file);
    }
    let bytes = 0;
    for await (const part of downloadParts(store, { frames: true })) {
      if (part.case === 'frame') bytes += part.value.data.length;
    }
    const packs = await store.list(keys.packs(keys.database(name)), { limit: 1_000 }, never);
    expect(bytes).toBeLessThan(packs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0));
    expect((await read()).equals(file)).toBe(true);
  });

  describe('tell what a store has forged', () => {
    const prefix = keys.database(name);
    const older = madeDatabase(200);
    const file = Buffer.from(older);
    for (const page of [5, 150]) writePage(file, page, 4096, 9);

    beforeEach(async () => {
      await uploadSealed(older);
      await uploadSealed(file);
      expect((await read()).equals(file)).toBe(true);
    });

    /** A backup's map, to be changed: its tables and its only segment. */
    async function mapOf(number: bigint) {
      const { root } = (await list(store)).backups.find((backup) => backup.number === number)!;
      const object = await findMap(store, prefix, root, never);
      const map = await StoredMap.open(store, object!, never);
      return { key: map.key, tables: map.tables, segment: await map.segment(0, never) };
    }

    async function replace(key: string, bytes: Buffer): Promise<void> {
      await store.delete(key, never);
      await store.put(key, bytes, never);
    }

    it('with pages at the place of others', async () => {
      const { key, tables, segment } = await mapOf(2n);
      for (const places of [segment.frames, segment.positions]) {
        [places[70], places[140]] = [places[140]!, places[70]!];
      }
      const builder = new MapBuilder(tables);
      for (const pack of tables.packs) builder.addPack(pack);
      for (const frame of tables.frames) builder.addFrame(frame);
      builder.addSegment(segment);
      await replace(key, builder.finish(tables.root));
      const fault = { reason: 'DIGEST_MISMATCH', message: expect.stringContaining('other pages') };
      await expect(read()).rejects.toMatchObject(fault);
    });

    it('with an older state of one page, and all digests to match', async () => {
      const [old, { tables, segment }] = [await mapOf(1n), await mapOf(2n)];
      const builder = new MapBuilder(tables);
      for (const pack of tables.packs) builder.addPack(pack);
      for (const frame of tables.frames) builder.addFrame(frame);
      const frame = old.tables.frames[old.segment.frames[5]!]!;
      const pack = builder.addPack(old.tables.packs[frame.pack]!);
      segment.place(5, {
        frame: builder.addFrame({ ...frame, pack }),
        position: old.segment.positions[5]!,
      });
      // Those of pages stand in the packs, and nothing that is secret is in the rest.
      old.segment.digests.copy(segment.digests, 0, 0, 16);
      builder.addSegment(segment);
      const digest = new RootDigest(file.length);
      digest.add(segment.digests);
      const root = digest.finish();
      await store.put(keys.map(prefix, root, 1), builder.finish(root), never);
      const headKey = keys.head(prefix, 2);
      const head = decodeHead((await store.get(headKey, undefined, never))!);
      await replace(headKey, encodeHead({ ...head, root: root.toString('hex') }));
      const fault = { reason: 'DIGEST_MISMATCH', message: expect.stringContaining('not the one') };
      await expect(read()).rejects.toMatchObject(fault);
    });
  });
});
