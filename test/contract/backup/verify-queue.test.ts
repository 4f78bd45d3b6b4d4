import { readdir } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import {
  type Backup,
  VerificationState,
} from '../../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import type { CheckDatabase } from '../../../services/backup/domain/verification/verify.ts';
import type { BackupStore } from '../../../services/backup/store/store.ts';
import { eventually } from '../../support/eventually.ts';
import { engines, never } from './engines.ts';
import { FaultyStore } from './faulty-store.ts';
import { ShiftedStore } from './shifted-store.ts';
import { age, list, upload } from './transfers.ts';
import { chatDatabase, EVERY_MS, TestVerifier } from './verification.ts';

const { UNSPECIFIED, PASSED } = VerificationState;
const HOUR_MS = 3_600_000;

/** As exact as stores tell the time. */
const SECOND_MS = 1_000;

async function statesOf(store: BackupStore, database = ''): Promise<VerificationState[]> {
  return (await list(store, { database })).backups.map(({ verification }) => verification!.state);
}

/** Makes checks wait, once they have begun, until a test lets them go on. */
class Gate {
  readonly #opened = Promise.withResolvers<void>();
  /** Checks that have begun. */
  begun = 0;

  readonly before =
    (check: CheckDatabase): CheckDatabase =>
    async (file, sizeBytes, signal) => {
      this.begun += 1;
      await this.#opened.promise;
      return check(file, sizeBytes, signal);
    };

  open(): void {
    this.#opened.resolve();
  }
}

/** Returns when nothing waits for a verification any more, and none is under way. */
async function idle(verifier: TestVerifier): Promise<void> {
  await eventually(async () => {
    expect(await verifier.gauge('backup_verification_queue_length')).toBe(0);
    expect(await verifier.gauge('backup_verifications_in_flight')).toBe(0);
  }, 5);
}

describe.each(engines)('verification in the background: %s', (_name, open) => {
  it('verifies the first backup of a database, then one a day', async () => {
    await using stack = new AsyncDisposableStack();
    const store = new ShiftedStore(await open(stack));
    const verifier = await TestVerifier.open(stack, store);
    let seed = 0;
    const back = async (): Promise<Backup> => {
      const { backup } = await upload(store, chatDatabase(50, seed++), {}, undefined, verifier);
      await idle(verifier);
      return backup;
    };
    await back();
    expect(await statesOf(store)).toEqual([PASSED]);
    await back();
    store.pass(23 * HOUR_MS);
    await back();
    expect(await statesOf(store)).toEqual([UNSPECIFIED, UNSPECIFIED, PASSED]);
    expect((await age(store)).newestVerifiedNumber).toBe(1n);
    store.pass(HOUR_MS + SECOND_MS);
    await back();
    expect(await statesOf(store)).toEqual([PASSED, UNSPECIFIED, UNSPECIFIED, PASSED]);
    await back();
    expect((await statesOf(store))[0]).toBe(UNSPECIFIED);
    expect(await verifier.verdicts()).toBe(2);
  });

  it('skips what is superseded while it waits, and lets go first who waits', async () => {
    await using stack = new AsyncDisposableStack();
    const store = await open(stack);
    const gate = new Gate();
    const verifier = await TestVerifier.open(stack, store, gate.before);
    const send = (database: string, seed: number) =>
      upload(store, chatDatabase(50, seed), { database }, undefined, verifier);
    await send('slow', 0);
    await eventually(() => expect(gate.begun).toBe(1));
    for (const seed of [1, 2, 3]) await send('queued', seed);
    const waiting = verifier.upload(chatDatabase(50, 4), { database: 'waited for' });
    await eventually(() => expect(gate.begun).toBe(2));
    gate.open();
    expect((await waiting).verification?.state).toBe(PASSED);
    await idle(verifier);
    expect(await statesOf(store, 'queued')).toEqual([PASSED, UNSPECIFIED, UNSPECIFIED]);
    expect(await statesOf(store, 'slow')).toEqual([PASSED]);
    expect(await verifier.verdicts()).toBe(3);
  });

  it('verifies the newest of all databases every so often', async () => {
    await using stack = new AsyncDisposableStack();
    const store = new ShiftedStore(await open(stack));
    const verifier = await TestVerifier.open(stack, store);
    const databases = ['one', 'two', 'three'];
    for (const database of databases) {
      await upload(store, chatDatabase(20), { user: `of ${database}`, database });
      await upload(store, chatDatabase(20, 1), { user: `of ${database}`, database });
    }
    const states = () =>
      Promise.all(
        databases.map(async (database) => {
          const { backups } = await list(store, { user: `of ${database}`, database });
          return backups.map(({ verification }) => Number(verification!.atMs) > 0);
        }),
      );
    await verifier.round(never);
    expect(await states()).toEqual(databases.map(() => [true, false]));
    await upload(store, chatDatabase(20, 2), { user: 'of two', database: 'two' });
    store.pass(EVERY_MS - HOUR_MS);
    await verifier.round(never);
    expect(await states()).toEqual([
      [true, false],
      [true, true, false],
      [true, false],
    ]);
    expect(await verifier.verdicts()).toBe(4);
    const before = (await list(store, { user: 'of one', database: 'one' })).backups[0]!;
    store.pass(HOUR_MS + SECOND_MS);
    await verifier.round(never);
    expect(await verifier.verdicts()).toBe(6);
    const after = (await list(store, { user: 'of one', database: 'one' })).backups[0]!;
    expect(Number(after.verification!.atMs - before.verification!.atMs)).toBeGreaterThanOrEqual(
      EVERY_MS - HOUR_MS,
    );
  });

  it('takes a store that is gone for no verdict', async () => {
    await using stack = new AsyncDisposableStack();
    const store = new FaultyStore(await open(stack));
    const verifier = await TestVerifier.open(stack, store);
    await upload(store, chatDatabase(50));
    const { onGet } = store;
    store.onGet = (key, bytes) => {
      if (key.includes('/packs/')) throw new Error('the store is gone');
      return bytes;
    };
    await expect(verifier.verifyNow()).rejects.toThrow('the store is gone');
    await verifier.round(never);
    expect(await statesOf(store)).toEqual([UNSPECIFIED]);
    store.onGet = onGet;
    await verifier.round(never);
    expect(await statesOf(store)).toEqual([PASSED]);
  });

  it('ends without a verdict when nobody waits for it any more, or the service stops', async () => {
    await using stack = new AsyncDisposableStack();
    const store = await open(stack);
    const gate = new Gate();
    const verifier = await TestVerifier.open(stack, store, gate.before);
    await upload(store, chatDatabase(50));
    const gone = new AbortController();
    const ended = expect(verifier.verifyNow({}, gone.signal)).rejects.toThrow('gone');
    await eventually(() => expect(gate.begun).toBe(1));
    gone.abort(new Error('gone'));
    await upload(store, chatDatabase(50, 1), { database: 'other' }, undefined, verifier);
    await eventually(() => expect(gate.begun).toBe(2));
    const stopped = verifier[Symbol.asyncDispose]();
    gate.open();
    await Promise.all([ended, stopped]);
    expect(await verifier.gauge('backup_verifications_in_flight')).toBe(0);
    expect(await statesOf(store)).toEqual([UNSPECIFIED]);
    expect(await statesOf(store, 'other')).toEqual([UNSPECIFIED]);
    expect(await readdir(verifier.folder)).toEqual([]);
  });

  it('refuses more calls than may wait', async () => {
    await using stack = new AsyncDisposableStack();
    const store = await open(stack);
    const gate = new Gate();
    const verifier = await TestVerifier.open(stack, store, gate.before);
    await upload(store, chatDatabase(10));
    const calls = Array.from({ length: 70 }, () => verifier.verifyNow());
    const outcomes = Promise.allSettled(calls);
    await eventually(async () => {
      expect(await verifier.gauge('backup_verifications_in_flight')).toBe(66);
    });
    gate.open();
    const refused = (await outcomes).filter(({ status }) => status === 'rejected');
    expect(refused).toHaveLength(4);
    expect(refused[0]).toMatchObject({ reason: { reason: 'TOO_MANY_CALLS' } });
  });
});
