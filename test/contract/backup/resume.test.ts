import { beforeEach, describe, expect, it } from 'vitest';
import { Code } from '../../../services/common/errors.ts';
import { openUpload, uploadChanges, wholeDialogue } from './dialogue.ts';
import { engines, opened } from './engines.ts';
import { FaultyStore, type PutFault } from './faulty-store.ts';
import { download, list, madeDatabase, send, upload, writePage } from './transfers.ts';

describe.each(engines)('incremental uploads that break off: %s', (_name, open) => {
  let store: FaultyStore;

  beforeEach(async () => {
    store = new FaultyStore(await opened(open));
  });

  const before = madeDatabase(900, 4096, 1);
  const after = madeDatabase(1_000, 4096, 2);

  it('go on where they were, whenever the client was gone', async () => {
    const requests = wholeDialogue(after).length;
    for (let broken = 1; broken <= requests; broken++) {
      const start = { user: `alice ${broken}`, uploadId: 'one' };
      await upload(store, before, { user: start.user });
      const received: number[] = [];
      let left = broken;
      const breaking = uploadChanges(store, after, start, {
        onRequest: ({ case: kind, value }) => {
          left -= 1;
          if (left === 0) throw new Error('the client is gone');
          if (kind === 'frame') received.push(...value.pages.map(Number));
        },
      });
      await expect(breaking).rejects.toThrow('the client is gone');
      expect(store.requestsInFlight).toBe(0);
      expect((await list(store, { user: start.user })).backups).toHaveLength(1);

      const { asked, repeated } = await uploadChanges(store, after, start);
      expect(repeated).toBe(false);
      expect([...received, ...asked].sort((one, other) => one - other)).toEqual([
        ...Array(1_000).keys(),
      ]);
      expect((await download(store, { user: start.user })).file.equals(after)).toBe(true);
    }
  });

  it('are known to a plain one of the same id, which stores nothing of them again', async () => {
    await breakOff(after, 'one');
    const had = store.puts;
    const { backup } = await upload(store, after, { uploadId: 'one' });
    expect(Number(backup.storedBytes)).toBeLessThan(10_000);
    expect(store.puts - had).toBe(3); // that an upload has begun, the map and the head
    expect((await download(store)).file.equals(after)).toBe(true);
  });

  it('go on from what a plain one of the same id has left', async () => {
    store.onPut = (key) => (key.includes('/maps/') ? 'lost' : undefined);
    await expect(upload(store, after, { uploadId: 'one' })).rejects.toThrow('lost');
    store.onPut = () => undefined;
    const { asked, backup } = await uploadChanges(store, after, { uploadId: 'one' });
    expect(asked).toEqual([]);
    expect(backup.number).toBe(1n);
    expect((await download(store)).file.equals(after)).toBe(true);
  });

  it('leave nothing to those of another id or another database', async () => {
    await breakOff(after, 'one');
    const other = await uploadChanges(store, after, { uploadId: 'two', database: 'other' });
    expect(other.asked).toHaveLength(1_000);
    expect((await uploadChanges(store, after, { uploadId: 'on' })).asked).toHaveLength(1_000);
  });

  it('may go on with another state of the file, and in pages of another size', async () => {
    await breakOff(after, 'one');
    const changed = Buffer.from(after);
    for (const page of [0, 500, 999]) writePage(changed, page, 4096, 3);
    const again = await uploadChanges(store, changed, { uploadId: 'one' });
    expect(again.asked).toEqual([0, 500, 999]);
    expect((await download(store)).file.equals(changed)).toBe(true);

    await breakOff(before, 'two');
    const larger = madeDatabase(100, 16_384);
    expect((await uploadChanges(store, larger, { uploadId: 'two' })).asked).toHaveLength(100);
    expect((await download(store)).file.equals(larger)).toBe(true);
  });

  it('gather what many tries have left', async () => {
    const received: number[] = [];
    for (let tries = 0; tries < 8; tries++) {
      let frames = 0;
      const breaking = uploadChanges(
        store,
        after,
        { uploadId: 'one' },
        {
          onRequest: ({ case: kind, value }) => {
            if (kind !== 'frame') return;
            frames += 1;
            if (frames > 1) throw new Error('the client is gone');
            received.push(...value.pages.map(Number));
          },
        },
      );
      await expect(breaking).rejects.toThrow('the client is gone');
    }
    expect(new Set(received).size).toBe(8 * 64);
    expect((await uploadChanges(store, after, { uploadId: 'one' })).asked).toHaveLength(488);
    expect((await download(store)).file.equals(after)).toBe(true);
  });

  it('ask again for what is damaged of what was left', async () => {
    await breakOff(after, 'one');
    store.onGet = (key, bytes) => (key.includes('/packs/') ? bytes.subarray(0, 20) : bytes);
    const { asked } = await uploadChanges(store, after, { uploadId: 'one' });
    expect(asked).toHaveLength(1_000);
    store.onGet = (_key, bytes) => bytes;
    expect((await download(store)).file.equals(after)).toBe(true);
  });

  it('tell of a pack once it is durable, and close it in time', async () => {
    const requests = wholeDialogue(after, { uploadId: 'one' });
    const stored: bigint[] = [];
    // Sends one frame, and nothing more.
    const produce = async (send: (request: (typeof requests)[number]) => Promise<void>) => {
      for (const request of requests.slice(0, 4)) await send(request);
      await new Promise(() => {});
    };
    const answers = openUpload(store, { packOpenMs: 1 })(produce);
    for await (const { part } of answers) {
      if (part.case === 'progress') stored.push(part.value.storedBytes);
      if (stored.length > 0) break;
    }
    expect(Number(stored[0])).toBeGreaterThan(10_000);
    expect((await uploadChanges(store, after, { uploadId: 'one' })).asked).toHaveLength(936);
  });

  it.each<PutFault>(['lost', 'answer lost'])(
    'leave a complete backup or none, whichever put has its %s',
    async (fault) => {
      for (let broken = 1; broken <= 3; broken++) {
        const start = { user: `alice ${broken}`, uploadId: 'one' };
        await upload(store, before, { user: start.user });
        const target = store.puts + broken;
        store.onPut = (_key, put) => (put === target ? fault : undefined);
        await expect(uploadChanges(store, after, start)).rejects.toThrow('lost');
        store.onPut = () => undefined;
        const committed = fault === 'answer lost' && broken === 3;
        const { backups } = await list(store, { user: start.user });
        expect(backups).toHaveLength(committed ? 2 : 1);
        const again = await uploadChanges(store, after, start);
        expect(again.repeated).toBe(committed);
        expect(again.asked.length).toBe(fault === 'lost' && broken === 1 ? 1_000 : 0);
        expect((await list(store, { user: start.user })).backups).toHaveLength(2);
        expect((await download(store, { user: start.user })).file.equals(after)).toBe(true);
        expect(store.requestsInFlight).toBe(0);
      }
    },
  );

  it('are answered with their backup when they come again', async () => {
    const first = await uploadChanges(store, before, { uploadId: 'one' });
    for (let n = 0; n < 3; n++) await uploadChanges(store, after, { uploadId: `later ${n}` });
    const again = await uploadChanges(store, before, { uploadId: 'one' });
    expect(again).toMatchObject({ repeated: true, backup: first.backup, asked: [] });
    const plain = await upload(store, before, { uploadId: 'one' });
    expect(plain).toMatchObject({ repeated: true, backup: first.backup });
    expect((await list(store)).backups).toHaveLength(4);
    const other = uploadChanges(store, madeDatabase(900, 4096, 7), { uploadId: 'one' });
    const conflict = { code: Code.ALREADY_EXISTS, reason: 'UPLOAD_ID_CONFLICT' };
    await expect(other).rejects.toMatchObject(conflict);
  });

  it('at once with another become two backups', async () => {
    await upload(store, before);
    const files = [before, after].map((file) => Buffer.from(file));
    for (const [seed, file] of files.entries()) writePage(file, 5, 4096, seed + 10);
    const made = await Promise.all(files.map((file) => uploadChanges(store, file)));
    expect(new Set(made.map(({ backup }) => backup.number))).toEqual(new Set([2n, 3n]));
    for (const [at, { backup }] of made.entries()) {
      const { file } = await download(store, { number: backup.number });
      expect(file.equals(files[at]!)).toBe(true);
    }
  });

  /** Uploads all pages of a file, and is gone before the end. */
  async function breakOff(file: Buffer, uploadId: string): Promise<void> {
    const requests = wholeDialogue(file, { uploadId });
    const gone = new AbortController();
    const halfway = function* () {
      yield* requests;
      gone.abort(new Error('the client is gone'));
    };
    await expect(send(store, halfway(), gone.signal)).rejects.toThrow('the client is gone');
  }
});
