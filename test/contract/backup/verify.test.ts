import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { VerificationState } from '../../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import { MasterKey } from '../../../clients/sealing/master-key.ts';
import { keys } from '../../../services/backup/domain/keys.ts';
import type { BackupStore } from '../../../services/backup/store/store.ts';
import { uploadChanges } from './dialogue.ts';
import { engines, never } from './engines.ts';
import { FaultyStore } from './faulty-store.ts';
import { remove } from './keeping.ts';
import { callsOf, interleave } from './stepping-store.ts';
import { age, download, list, madeDatabase, upload } from './transfers.ts';
import { changed, chatDatabase, damage, TestVerifier } from './verification.ts';

const { UNSPECIFIED, PASSED, FAILED } = VerificationState;
const prefix = keys.database({ user: 'alice', database: 'backup.db' });

/** What each backup of alice's is known to be, the newest first. */
async function statesOf(store: BackupStore): Promise<VerificationState[]> {
  return (await list(store)).backups.map(({ verification }) => verification!.state);
}

/** Keys of a kind of objects of alice's database. */
async function keysOf(store: BackupStore, kind: string): Promise<string[]> {
  const objects = await store.list(`${prefix}${kind}/`, { limit: 1_000 }, never);
  return objects.map(({ key }) => key);
}

describe.each(engines)('verification: %s', (_name, open) => {
  it('passes what is sound', async () => {
    await using stack = new AsyncDisposableStack();
    const store = await open(stack);
    const verifier = await TestVerifier.open(stack, store);
    const backup = await verifier.upload(chatDatabase(1_000));
    expect(backup.verification).toMatchObject({ state: PASSED, reason: '', detail: '' });
    expect((await list(store)).backups[0]?.verification).toEqual(backup.verification);
    expect(await age(store)).toMatchObject({
      newestVerifiedNumber: 1n,
      newestVerifiedAtMs: backup.createdAtMs,
    });
  });

  it('checks digests alone of what is opaque', async () => {
    await using stack = new AsyncDisposableStack();
    const store = await open(stack);
    const verifier = await TestVerifier.open(stack, store);
    const backup = await verifier.upload(Buffer.alloc(300_000, 'no database'), { opaque: true });
    expect(backup.verification).toMatchObject({ state: PASSED });
    await damage(store, (await keysOf(store, 'packs'))[0]!, 20);
    const { verification } = await verifier.verifyNow();
    expect(verification).toMatchObject({ state: FAILED, reason: 'DAMAGED' });
  });

  it('checks digests alone of what is sealed', async () => {
    await using stack = new AsyncDisposableStack();
    const store = await open(stack);
    const verifier = await TestVerifier.open(stack, store);
    const key = MasterKey.ofBytes(randomBytes(32));
    const sealer = key.sealer({ user: 'alice', database: 'backup.db' });
    const send = (file: Buffer) => {
      const start = { key: key.description, waitForVerification: true };
      return uploadChanges(store, file, start, { sealer, verifications: verifier });
    };
    const file = chatDatabase(3_000);
    expect((await send(file)).backup.verification).toMatchObject({ state: PASSED });
    const [shared] = await keysOf(store, 'packs');
    const second = changed(file, "UPDATE message SET text = 'changed' WHERE id = 1500");
    expect((await send(second)).backup.verification).toMatchObject({ state: PASSED });
    await damage(store, shared!, 20);
    const failed = { state: FAILED, reason: 'DAMAGED' };
    expect((await verifier.verifyNow({ number: 1n })).verification).toMatchObject(failed);
    expect((await verifier.verifyNow({ number: 2n })).verification).toMatchObject(failed);
    expect((await send(second)).backup.verification).toMatchObject({ state: PASSED });
  });

  it('finds a damaged pack, and all backups that need it', async () => {
    await using stack = new AsyncDisposableStack();
    const store = await open(stack);
    const verifier = await TestVerifier.open(stack, store);
    const first = chatDatabase(5_000);
    const second = changed(first, "UPDATE message SET text = 'changed' WHERE id = 2500");
    await verifier.upload(chatDatabase(50, 3), { database: 'other' });
    await upload(store, madeDatabase(10));
    const before = await keysOf(store, 'packs');
    await upload(store, first);
    const [shared] = (await keysOf(store, 'packs')).filter((key) => !before.includes(key));
    await uploadChanges(store, second);
    await damage(store, shared!, 1_000);

    const { verification } = await verifier.verifyNow();
    expect(verification).toMatchObject({ state: FAILED, reason: 'DAMAGED' });
    expect(await verifier.verdicts('DAMAGED')).toBe(1);
    expect(await statesOf(store)).toEqual([FAILED, FAILED, UNSPECIFIED]);
    expect((await list(store)).backups[1]?.verification?.detail).toBe(verification?.detail);
    expect((await list(store, { database: 'other' })).backups[0]?.verification?.state).toBe(PASSED);
    const mark = shared!.replace('/packs/', '/marks/damaged/');
    expect(await keysOf(store, 'marks/damaged')).toEqual([mark]);
    expect((await age(store)).newestNumber).toBe(1n);
    expect((await download(store)).backup.number).toBe(1n);

    // What is damaged stays so: the pages come anew.
    for (const [index, file] of [first, second].entries()) {
      const again = await verifier.upload(file);
      expect(again).toMatchObject({ number: BigInt(4 + index), verification: { state: PASSED } });
      expect((await download(store)).file.equals(file)).toBe(true);
    }
    // So do those that had failed: the newest map of their roots is a sound one.
    expect((await verifier.verifyNow({ number: 3n })).verification?.state).toBe(PASSED);
    expect((await age(store)).newestVerifiedNumber).toBe(5n);
  });

  it('of what fails lets no upload of the same pass, whenever it comes', async () => {
    await using stack = new AsyncDisposableStack();
    const store = await open(stack);
    const verifier = await TestVerifier.open(stack, store);
    const file = chatDatabase(500);
    const databaseOf = (user: string) => keys.database({ user, database: 'backup.db' });
    const begin = async (user: string) => {
      await verifier.upload(file, { user });
      const packs = await store.list(`${databaseOf(user)}packs/`, { limit: 1 }, never);
      await damage(store, packs[0]!.key, 20);
    };
    await begin('count');
    const sends = (user: string) => (its: BackupStore) => upload(its, file, { user });
    const calls = await callsOf(store, sends('count'));
    const ends = new Set<string>();
    for (let call = 1; call <= calls; call++) {
      const user = `user ${call}`;
      await begin(user);
      const sent = await interleave(store, sends(user), call, async () => {
        const { verification } = await verifier.verifyNow({ user, number: 1n });
        expect(verification?.state).toBe(FAILED);
      });
      ends.add(sent.status);
      if (sent.status === 'rejected') expect(sent.reason).toMatchObject({ reason: 'COLLECTED' });
      const { backups } = await list(store, { user });
      for (const { number, verification } of backups) {
        expect(verification?.state, `${number} at call ${call}`).not.toBe(PASSED);
      }
      for (const { number, verification } of backups) {
        if (verification?.state === FAILED) continue;
        expect((await download(store, { user, number })).file.equals(file)).toBe(true);
      }
    }
    expect(ends).toEqual(new Set(['fulfilled', 'rejected']));
  });

  it.each(['lost', 'cut short'])('finds that a pack is %s', async (how) => {
    await using stack = new AsyncDisposableStack();
    const store = await open(stack);
    const verifier = await TestVerifier.open(stack, store);
    const file = chatDatabase(500);
    await verifier.upload(file);
    const [pack] = await keysOf(store, 'packs');
    const bytes = await store.get(pack!, undefined, never);
    await store.delete(pack!, never);
    if (how === 'cut short') await store.put(pack!, bytes!.subarray(0, bytes!.length >> 1), never);
    const { verification } = await verifier.verifyNow();
    expect(verification).toMatchObject({ state: FAILED, reason: 'DAMAGED' });
    expect((await verifier.verifyNow({ number: 1n })).verification).toEqual(verification);
    expect((await age(store)).ageSeconds).toBe(-1);
    expect((await verifier.upload(file)).verification?.state).toBe(PASSED);
  });

  it.each([
    ['segment', 20],
    ['table', -60],
  ])('finds a damaged %s of a map, and the next upload mends it', async (_part, at) => {
    await using stack = new AsyncDisposableStack();
    const store = await open(stack);
    const verifier = await TestVerifier.open(stack, store);
    const file = chatDatabase(500);
    await verifier.upload(file);
    await damage(store, (await keysOf(store, 'maps'))[0]!, at);
    const { verification } = await verifier.verifyNow();
    expect(verification).toMatchObject({ state: FAILED, reason: 'DAMAGED' });
    expect(await keysOf(store, 'marks')).toEqual([]);
    expect((await verifier.upload(file)).verification?.state).toBe(PASSED);
    // The one of the same root is as sound again.
    expect(await statesOf(store)).toEqual([PASSED, PASSED]);
    expect((await verifier.verifyNow({ number: 1n })).verification?.state).toBe(PASSED);
  });

  it('is forgotten by the upload that mends what it found', async () => {
    await using stack = new AsyncDisposableStack();
    const store = await open(stack);
    const verifier = await TestVerifier.open(stack, store);
    const file = chatDatabase(500);
    const start = { uploadId: 'one' };
    await verifier.upload(file, start);
    await damage(store, (await keysOf(store, 'packs'))[0]!, 20);
    await verifier.verifyNow();
    const { backup, repeated } = await upload(store, file, start, undefined, verifier);
    expect(repeated).toBe(true);
    expect(backup).toMatchObject({ number: 1n, verification: { state: PASSED } });
    expect((await age(store)).newestVerifiedNumber).toBe(1n);
  });

  it('does not count a corrupt database', async () => {
    await using stack = new AsyncDisposableStack();
    const store = await open(stack);
    const verifier = await TestVerifier.open(stack, store);
    const sound = chatDatabase(500);
    await verifier.upload(sound);
    const corrupt = Buffer.from(sound);
    corrupt.fill(0xaa, 4_096 * 3, 4_096 * 4);
    const failed = await verifier.upload(corrupt, { uploadId: 'corrupt' });
    expect(failed.verification).toMatchObject({ state: FAILED, reason: 'CORRUPT' });
    expect(failed.verification?.detail).not.toBe('');
    expect(await age(store)).toMatchObject({ newestNumber: 1n, newestVerifiedNumber: 1n });
    expect((await download(store)).file.equals(sound)).toBe(true);
    expect((await download(store, { number: 2n })).file.equals(corrupt)).toBe(true);
    // It is no base: the file before it has not changed.
    expect((await upload(store, sound)).unchanged).toBe(true);
    const repeated = await verifier.upload(corrupt, { uploadId: 'corrupt' });
    expect(repeated).toMatchObject({ number: 2n, verification: failed.verification });
  });

  it('passes an unchanged backup with its root, which is one small object', async () => {
    await using stack = new AsyncDisposableStack();
    const store = new FaultyStore(await open(stack));
    const verifier = await TestVerifier.open(stack, store);
    const file = chatDatabase(500);
    const { verification } = await verifier.upload(file);
    const puts = store.puts;
    for (let number = 2n; number <= 4n; number++) {
      const { backup, unchanged } = await upload(store, file, {}, undefined, verifier);
      expect([unchanged, backup.number, backup.verification]).toEqual([true, number, verification]);
    }
    expect(store.puts).toBe(puts + 3);
    expect((await age(store)).newestVerifiedNumber).toBe(4n);
    // Newer ones tell of it, as long as it is there.
    await upload(store, chatDatabase(500, 1));
    await upload(store, chatDatabase(500, 2));
    expect(await age(store)).toMatchObject({ newestNumber: 6n, newestVerifiedNumber: 4n });
    await remove(store, { number: 4n });
    expect(await age(store)).toMatchObject({ newestNumber: 6n, newestVerifiedNumber: 3n });
    expect(await verifier.verifyNow({ number: 5n })).toMatchObject({ number: 5n });
    expect((await age(store)).newestVerifiedNumber).toBe(5n);
  });

  it('fails unchanged backups with their root', async () => {
    await using stack = new AsyncDisposableStack();
    const store = await open(stack);
    const verifier = await TestVerifier.open(stack, store);
    const file = chatDatabase(500);
    await verifier.upload(file);
    await upload(store, file);
    await upload(store, chatDatabase(500, 1));
    const [, map] = await Promise.all([age(store), keysOf(store, 'maps')]);
    const root = (await list(store)).backups[2]!.root;
    const [key] = map.filter((one) => one.includes(Buffer.from(root).toString('hex')));
    await damage(store, key!, 20);
    await verifier.verifyNow({ number: 1n });
    expect(await statesOf(store)).toEqual([UNSPECIFIED, FAILED, FAILED]);
    expect(await age(store)).toMatchObject({ newestNumber: 3n, newestVerifiedNumber: 0n });
    await remove(store, { number: 3n });
    expect(await age(store)).toMatchObject({ ageSeconds: -1, newestVerifiedNumber: 0n });
  });

  it('knows the newest that passed among many that were not verified', async () => {
    await using stack = new AsyncDisposableStack();
    const store = await open(stack);
    const verifier = await TestVerifier.open(stack, store);
    const file = madeDatabase(2);
    for (let number = 1; number <= 40; number++) {
      await upload(store, number === 7 ? chatDatabase(1) : file);
    }
    expect(await age(store)).toMatchObject({ newestNumber: 40n, newestVerifiedNumber: 0n });
    await verifier.verifyNow({ number: 7n });
    expect((await age(store)).newestVerifiedNumber).toBe(7n);
    await upload(store, file);
    expect(await age(store)).toMatchObject({ newestNumber: 41n, newestVerifiedNumber: 7n });
  });

  it('says that there is no such backup', async () => {
    await using stack = new AsyncDisposableStack();
    const store = await open(stack);
    const verifier = await TestVerifier.open(stack, store);
    const absent = { reason: 'BACKUP_NOT_FOUND' };
    await expect(verifier.verifyNow()).rejects.toMatchObject(absent);
    await verifier.upload(chatDatabase(10));
    await expect(verifier.verifyNow({ number: 2n })).rejects.toMatchObject(absent);
    await remove(store, { number: 1n });
    await expect(verifier.verifyNow({ number: 1n })).rejects.toMatchObject(absent);
    await expect(verifier.verifyNow()).rejects.toMatchObject(absent);
  });
});
