import { beforeEach, describe, expect, it } from 'vitest';
import { collect } from '../../../services/backup/domain/collection/collect.ts';
import { compact } from '../../../services/backup/domain/collection/compact.ts';
import { markDeleted } from '../../../services/backup/domain/kept/deletion.ts';
import { keys } from '../../../services/backup/domain/keys.ts';
import { TRANSFER_MS } from '../../../services/backup/limits.ts';
import type { BackupStore } from '../../../services/backup/store/store.ts';
import { uploadChanges } from './dialogue.ts';
import { engines, never, opened } from './engines.ts';
import { erase } from './keeping.ts';
import { ShiftedStore } from './shifted-store.ts';
import { callsOf, interleave, type Work } from './stepping-store.ts';
import { DUE_MS, GRACE_MS } from './tidying.ts';
import { download, madeDatabase, upload, writePage } from './transfers.ts';

const first = madeDatabase(100, 4096, 1);
const second = halfChanged(first, 2);
const third = halfChanged(second, 3);

describe.each(engines)('what goes on at once, in any order: %s', (_name, open) => {
  let store: ShiftedStore;
  let databases = 0;

  beforeEach(async () => {
    store = new ShiftedStore(await opened(open));
  });

  /** A database whose older backup is deleted: half of that one's pages are dead, and its map is. */
  async function newDatabase() {
    databases += 1;
    const name = { user: 'alice', database: `database ${databases}` };
    const prefix = keys.database(name);
    await uploadChanges(store, first, name);
    await uploadChanges(store, second, name);
    await markDeleted(store, prefix, 1, never);
    store.pass(DUE_MS);
    const collecting = (on: BackupStore) => collect(on, prefix, TRANSFER_MS, never);
    const compacting = (on: BackupStore) => compact(on, prefix, TRANSFER_MS, never);
    return { name, prefix, collecting, compacting };
  }

  type Database = Awaited<ReturnType<typeof newDatabase>>;

  /** Does some work, and other work before each of its calls in turn, each time in a new database. */
  async function inEachOrder<T>(
    workIn: (database: Database) => Work<T>,
    otherIn: (database: Database) => Promise<unknown>,
    check: (database: Database, outcome: PromiseSettledResult<T>) => Promise<void>,
  ): Promise<void> {
    const calls = await callsOf(store, workIn(await newDatabase()));
    expect(calls).toBeGreaterThan(5);
    for (let call = 1; call <= calls; call++) {
      const database = await newDatabase();
      const other = () => otherIn(database);
      const outcome = await interleave(store, workIn(database), call, other);
      for (let rounds = 0; rounds < 2; rounds++) {
        store.pass(GRACE_MS);
        await database.collecting(store);
      }
      await expectKept(database, 2n, second);
      await check(database, outcome);
    }
  }

  async function expectKept({ name }: Database, number: bigint, file: Buffer): Promise<void> {
    const kept = await download(store, { ...name, number });
    expect(kept.file.equals(file), `backup ${number} of ${name.database}`).toBe(true);
  }

  it('an upload that finds an old map of its root, and a collection', async () => {
    const ends: string[] = [];
    await inEachOrder(
      ({ name }) =>
        (on) =>
          upload(on, first, name),
      ({ collecting }) => collecting(store),
      async (database, outcome) => {
        ends.push(outcome.status);
        if (outcome.status === 'fulfilled') await expectKept(database, 3n, first);
        else expect(outcome.reason).toMatchObject({ reason: 'COLLECTED' });
      },
    );
    expect(new Set(ends)).toEqual(new Set(['fulfilled', 'rejected']));
  });

  it('an upload of what changed, and a compaction', async () => {
    await inEachOrder(
      ({ name }) =>
        (on) =>
          uploadChanges(on, third, name),
      async ({ compacting }) => {
        expect((await compacting(store)).replaced).toBeGreaterThan(0);
      },
      async (database, outcome) => {
        expect(outcome.status).toBe('fulfilled');
        await expectKept(database, 3n, third);
      },
    );
  });

  it('a compaction, an upload, and a deletion of what it compacts', async () => {
    await inEachOrder(
      ({ compacting }) => compacting,
      async ({ name, prefix, collecting }) => {
        await uploadChanges(store, third, name);
        await uploadChanges(store, second, name);
        await markDeleted(store, prefix, 3, never);
        await collecting(store);
        store.pass(0.9 * TRANSFER_MS);
      },
      async (database) => expectKept(database, 4n, second),
    );
  });

  it('a compaction, an erasure, and an upload of what was erased', async () => {
    const calls = await callsOf(store, (await newDatabase()).compacting);
    for (let call = 1; call <= calls; call++) {
      const database = await newDatabase();
      let number = 0n;
      await interleave(store, database.compacting, call, async () => {
        await erase(store, database.name);
        number = (await uploadChanges(store, second, database.name)).backup.number;
      });
      await expectKept(database, number, second);
      for (let rounds = 0; rounds < 2; rounds++) {
        store.pass(GRACE_MS);
        await database.collecting(store);
        await expectKept(database, number, second);
      }
    }
  });

  it('two compactions, and what they leave', async () => {
    await inEachOrder(
      ({ compacting }) => compacting,
      async ({ compacting, collecting }) => {
        await compacting(store);
        await collecting(store);
      },
      async (database, outcome) => {
        if (outcome.status === 'rejected') {
          expect(outcome.reason).toMatchObject({ reason: 'COLLECTED' });
        }
        await uploadChanges(store, third, database.name);
        await expectKept(database, 3n, third);
      },
    );
  });

  it('two collections', async () => {
    await inEachOrder(
      ({ collecting }) => collecting,
      ({ collecting }) => collecting(store),
      async (_database, { status }) => expect(status).toBe('fulfilled'),
    );
  });
});

/** Another state of a file, of which every other page has changed. */
function halfChanged(file: Buffer, seed: number): Buffer {
  const changed = Buffer.from(file);
  for (let page = seed % 2; page < 100; page += 2) writePage(changed, page, 4096, seed);
  return changed;
}
