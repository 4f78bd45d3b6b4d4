import { createHash } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import { Code } from '../../../services/common/errors.ts';
import { engines, opened } from './engines.ts';
import { FaultyStore, type PutFault } from './faulty-store.ts';
import { age, download, list, madeDatabase, send, upload, uploadRequests } from './transfers.ts';

describe.each(engines)('uploads that break off: %s', (_name, open) => {
  let store: FaultyStore;

  beforeEach(async () => {
    store = new FaultyStore(await opened(open));
  });

  const before = madeDatabase(900, 4096, 1);
  const after = madeDatabase(1_000, 4096, 2);

  it.each<PutFault>(['lost', 'answer lost'])(
    'leave a complete backup or none, whichever put has its %s',
    async (fault) => {
      await upload(store, before, { user: 'bob' });
      const whole = await putsOf(() => upload(store, after, { user: 'bob' }));
      expect(whole).toBe(3); // a pack, the map and the head

      for (let broken = 1; broken <= whole; broken++) {
        const user = `alice ${broken}`;
        await upload(store, before, { user, uploadId: 'before' });
        const target = store.puts + broken;
        store.onPut = (_key, put) => (put === target ? fault : undefined);
        const uploadId = `broken at ${broken}`;
        await expect(upload(store, after, { user, uploadId })).rejects.toThrow('lost');
        store.onPut = () => undefined;

        const committed = fault === 'answer lost' && broken === whole;
        const { backups } = await list(store, { user });
        expect(backups).toHaveLength(committed ? 2 : 1);
        for (const { number, uploadId: id } of backups) {
          const { file } = await download(store, { user, number });
          expect(file.equals(id === 'before' ? before : after)).toBe(true);
        }
        const again = await upload(store, after, { user, uploadId });
        expect(again.repeated).toBe(committed);
        expect((await download(store, { user })).file.equals(after)).toBe(true);
        expect(store.requestsInFlight).toBe(0);
      }
    },
  );

  it('leave nothing when the client goes, whenever it goes', async () => {
    const file = madeDatabase(1_500, 4096, 3);
    for (const parts of [0, 1, 3, 20]) {
      const gone = new AbortController();
      const requests = uploadRequests(file);
      const halfway = function* () {
        for (let left = parts + 1; left > 0; left--) yield requests.next().value!;
        gone.abort(new Error('the client is gone'));
        yield* requests;
      };
      await expect(send(store, halfway(), gone.signal)).rejects.toThrow('the client is gone');
      expect(store.requestsInFlight).toBe(0);
    }
    expect((await list(store)).backups).toEqual([]);
    expect((await age(store)).ageSeconds).toBe(-1);
  });

  it('end while a pack is on its way when the client goes', async () => {
    const gone = new AbortController();
    store.onPut = async () => {
      gone.abort(new Error('the client is gone'));
      return undefined;
    };
    const sending = send(store, uploadRequests(after), gone.signal);
    await expect(sending).rejects.toThrow('the client is gone');
    expect(store.requestsInFlight).toBe(0);
    expect((await list(store)).backups).toEqual([]);
  });

  it('tell an upload that was committed from one that was not', async () => {
    const first = await upload(store, before, { uploadId: 'one' });
    for (let n = 0; n < 10; n++) await upload(store, before, { uploadId: `later ${n}` });
    const again = await upload(store, before, { uploadId: 'one' });
    expect(again.repeated).toBe(true);
    expect(again.backup).toEqual(first.backup);
    expect((await list(store)).backups).toHaveLength(11);
  });

  it('refuse the id of another upload', async () => {
    const conflict = { code: Code.ALREADY_EXISTS, reason: 'UPLOAD_ID_CONFLICT' };
    const first = await upload(store, before, { uploadId: 'one', sha256: sha256(before) });
    const sameSize = madeDatabase(900, 4096, 5);
    for (const [file, hash] of [
      [after, undefined],
      [sameSize, sha256(sameSize)],
      [sameSize, undefined],
    ] as const) {
      const sending = upload(store, file, { uploadId: 'one', ...(hash && { sha256: hash }) });
      await expect(sending).rejects.toMatchObject(conflict);
    }
    await upload(store, after, { uploadId: 'two' });
    const again = await upload(store, before, { uploadId: 'one' });
    expect(again).toMatchObject({ repeated: true, backup: first.backup });
    expect((await list(store)).backups).toHaveLength(2);
  });

  it('need not come again whole where its SHA-256 tells that it is the same', async () => {
    const start = { uploadId: 'one', sha256: sha256(before) };
    await upload(store, before, start);
    const [onlyStart] = uploadRequests(before, start);
    const answers = await send(store, [onlyStart!]);
    expect(answers.at(-1)).toMatchObject({ case: 'result', value: { repeated: true } });
  });

  async function putsOf(work: () => Promise<unknown>): Promise<number> {
    const had = store.puts;
    await work();
    return store.puts - had;
  }
});

describe.each(engines)('uploads at once: %s', (_name, open) => {
  it('of one database each become a backup of their own', async () => {
    const store = new FaultyStore(await opened(open));
    const files = Array.from({ length: 24 }, (_, seed) => madeDatabase(60, 4096, seed));
    const meet = barrier(files.length);
    store.onPut = async (key) => {
      if (key.includes('/maps/')) await meet();
      return undefined;
    };
    const results = await Promise.all(files.map((file) => upload(store, file)));
    const numbers = results.map(({ backup }) => backup.number);
    expect(new Set(numbers)).toEqual(new Set(files.map((_, at) => BigInt(at + 1))));
    for (const [at, number] of numbers.entries()) {
      expect((await download(store, { number })).file.equals(files[at]!)).toBe(true);
    }
  });

  it('of the same upload become one backup', async () => {
    const store = new FaultyStore(await opened(open));
    const file = madeDatabase(300);
    const meet = barrier(3);
    store.onPut = async (key) => {
      if (key.includes('/packs/')) await meet();
      return undefined;
    };
    const sending = [1, 2, 3].map(() => upload(store, file, { uploadId: 'twice' }));
    const results = await Promise.all(sending);
    expect(new Set(results.map(({ backup }) => backup.number))).toEqual(new Set([1n]));
    expect(results.filter(({ repeated }) => !repeated)).toHaveLength(1);
    expect((await list(store)).backups).toHaveLength(1);
    expect((await download(store)).file.equals(file)).toBe(true);
  });
});

describe.each(engines)('two files under one upload id at once: %s', (_name, open) => {
  it('become one backup, and a refusal', async () => {
    const store = new FaultyStore(await opened(open));
    const files = [madeDatabase(300, 4096, 1), madeDatabase(300, 4096, 2)];
    const meet = barrier(2);
    store.onPut = async (key) => {
      if (key.includes('/packs/')) await meet();
      return undefined;
    };
    const sending = files.map((file) => upload(store, file, { uploadId: 'twice' }));
    const outcomes = await Promise.allSettled(sending);
    const won = outcomes.findIndex(({ status }) => status === 'fulfilled');
    expect(outcomes[1 - won]).toMatchObject({
      status: 'rejected',
      reason: { reason: 'UPLOAD_ID_CONFLICT' },
    });
    expect((await list(store)).backups).toHaveLength(1);
    expect((await download(store)).file.equals(files[won]!)).toBe(true);
  });
});

function sha256(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest();
}

/** Holds back whoever comes until `count` have come. */
function barrier(count: number): () => Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let come = 0;
  return () => {
    come += 1;
    if (come >= count) resolve();
    return promise;
  };
}
