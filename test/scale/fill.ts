import { inParallel } from '../../services/backup/domain/in-parallel.ts';
import { decodeHead, encodeHead, type Head } from '../../services/backup/domain/kept/head.ts';
import { type DatabaseName, keys } from '../../services/backup/domain/keys.ts';
import { takeRound } from '../../services/backup/domain/round.ts';
import type { BackupStore } from '../../services/backup/store/store.ts';
import { madeDatabase, upload } from '../contract/backup/transfers.ts';
import type { Progress } from '../support/progress.ts';

/** Databases of one user. */
const DATABASES_OF_USER = 10;

/** Databases that are filled at once. */
const AT_ONCE = 48;

/** How often a service that was started with `rarely` looks at all databases, in milliseconds. */
const ROUND_MS = 86_400_000;

/** Settings of a service that does as little as possible by itself. */
export const rarely = { BACKUP_SWEEP_SECONDS: String(ROUND_MS / 1_000) };

const never = new AbortController().signal;

/** A small file; every backup here is one of it. */
export const file = madeDatabase(8);

/** Name of a database by its number, counted from 0. */
export function nameOf(number: number): DatabaseName {
  const user = `user ${Math.floor(number / DATABASES_OF_USER)}`;
  return { user, database: `device ${number % DATABASES_OF_USER}.db` };
}

/**
 * Number of the backup of a database that passed its verification last: the newest, any of those before
 * it, or 0 for none.
 */
export function passedOf(number: number, backups: number): number {
  return backups - (number % (backups + 1));
}

/**
 * Gives every database so many backups of one file, through the store alone, each with all that it
 * needs to be downloaded. Nothing but the heads and at most one note tells the databases apart.
 */
export async function fill(
  store: BackupStore,
  databases: number,
  backups: number,
  progress: Progress,
): Promise<void> {
  // What services do to all databases in the background would be measured as well.
  for (const job of ['keep', 'verify']) await takeRound(store, job, ROUND_MS, never);
  const template = await readTemplate(store);
  const madeAtMs = await store.nowMs(never);
  let done = 0;
  const numbers = Array.from({ length: databases }, (_, number) => number);
  await inParallel(AT_ONCE, numbers, async (database) => {
    const name = nameOf(database);
    const prefix = keys.database(name);
    for (const [key, bytes] of template.others) await mustCreate(store, prefix + key, bytes);
    const passed = passedOf(database, backups);
    const lastPassed = { number: passed, atMs: madeAtMs, createdAtMs: madeAtMs };
    for (let number = 1; number <= backups; number++) {
      const told = passed > 0 && number > passed;
      const head: Head = {
        ...{ ...template.head, ...name, number, unchanged: number > 1 },
        ...(told && { lastPassed }),
      };
      await mustCreate(store, keys.head(prefix, number), encodeHead(head));
    }
    if (passed > 0) await mustCreate(store, keys.note(prefix, passed, 'passed'), Buffer.alloc(0));
    done += 1;
    progress.update(`${done} of ${databases} databases`);
  });
}

/** The objects of a real backup: its head, and all others by their keys within the database. */
async function readTemplate(store: BackupStore) {
  const name = { user: 'nobody', database: 'template.db' };
  await upload(store, file, { ...name, databaseCreatedAtMs: 1n });
  const prefix = keys.database(name);
  const others = new Map<string, Buffer>();
  for (const { key } of await store.list(prefix, { limit: 1_000 }, never)) {
    const bytes = (await store.get(key, undefined, never))!;
    if (key !== keys.head(prefix, 1)) others.set(key.slice(prefix.length), bytes);
  }
  const head = decodeHead((await store.get(keys.head(prefix, 1), undefined, never))!);
  return { head, others };
}

async function mustCreate(store: BackupStore, key: string, bytes: Buffer): Promise<void> {
  if ((await store.put(key, bytes, never)) !== 'created')
    throw new Error(`${key} was there before`);
}
