import { open, realpath, rename, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { refuseMixing } from '../../backup/database-file.ts';
import { lstatOf, refuseTaken, syncFolder } from '../../backup/new-file.ts';
import { takeAfter } from '../../backup/replace-database.ts';
import { type SnapshotOptions, snapshot } from '../../backup/snapshot.ts';
import { BackscrollError } from '../../errors.ts';

/** What the name of a database is followed by in those of what may stand beside it and belongs to it. */
const PART = /^(-wal|-shm|-journal|-state(-journal|-lock)?|\.files|\.before-restore(-\d+)?)?$/;

/**
 * Copies a device's database, which may be written to meanwhile, to a file that appears, or takes the
 * place of another one, in one step, and has the database's mode and owner. Fails as `snapshot` does;
 * with NOT_A_FILE where something else has the name; and with DATABASE_IN_USE where that is the database,
 * or what belongs to it and may stand beside it, or another one with a WAL or a journal beside it.
 */
export async function copyDatabase(
  database: string,
  target: string,
  options: Omit<SnapshotOptions, 'folder'>,
): Promise<void> {
  await refuseTarget(database, target);
  await using copy = await snapshot(database, { ...options, folder: dirname(target) });
  await takeAfter(copy.path, await stat(database));
  await syncFile(copy.path);
  await refuseReplacing(target);
  await rename(copy.path, target);
  await syncFolder(dirname(target));
}

/** Brings a file that no database connection uses to disk. */
export async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r+');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

async function refuseTarget(database: string, target: string): Promise<void> {
  const [own, folder] = await Promise.all([realpath(database), realpath(dirname(target))]);
  const full = join(folder, basename(target));
  const isPart = full.startsWith(own) && PART.test(full.slice(own.length));
  if (isPart || (await isSameFile(own, full))) {
    throw new BackscrollError(`${target} belongs to the database that is to be backed up`, {
      code: status.FAILED_PRECONDITION,
      reason: 'DATABASE_IN_USE',
    });
  }
  await refuseReplacing(target);
}

async function refuseReplacing(target: string): Promise<void> {
  await refuseTaken(target, true);
  await refuseMixing(target);
}

/** Also under names that differ in case alone, where the system takes them for one. */
async function isSameFile(path: string, other: string): Promise<boolean> {
  const [file, same] = await Promise.all([stat(path), lstatOf(other)]);
  return file.dev === same?.dev && file.ino === same.ino;
}
