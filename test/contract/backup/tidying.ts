import { expect } from 'vitest';
import { type Collected, collect } from '../../../services/backup/domain/collection/collect.ts';
import { type Compacted, compact } from '../../../services/backup/domain/collection/compact.ts';
import { keys } from '../../../services/backup/domain/keys.ts';
import { listAll } from '../../../services/backup/domain/listing.ts';
import { GRACE_TRANSFERS, TRANSFER_MS } from '../../../services/backup/limits.ts';
import type { BackupStore, StoredObject } from '../../../services/backup/store/store.ts';
import { never } from './engines.ts';
import type { ShiftedStore } from './shifted-store.ts';
import { download } from './transfers.ts';

/** Prefix of the database that `upload` uses unless told otherwise. */
export const alice: string = keys.database({ user: 'alice', database: 'backup.db' });

/** Time after which what nobody needs may be marked; and after which what is marked may go. */
export const DUE_MS = 1.01 * TRANSFER_MS;
export const GRACE_MS = (GRACE_TRANSFERS + 0.01) * TRANSFER_MS;

/** Collects Alice's database once. */
export function collectOnce(store: BackupStore): Promise<Collected> {
  return collect(store, alice, TRANSFER_MS, never);
}

/** Compacts Alice's database once. */
export function compactOnce(store: BackupStore): Promise<Compacted> {
  return compact(store, alice, TRANSFER_MS, never);
}

/** Collects until nothing is left to be deleted, with the times of grace that it takes. */
export async function collectAll(store: ShiftedStore, on: BackupStore = store): Promise<void> {
  store.pass(DUE_MS);
  await collectOnce(on);
  store.pass(GRACE_MS);
  await collectOnce(on);
}

/** Alice's objects of one kind. */
export function objectsOf(
  store: BackupStore,
  kind: 'packs' | 'maps' | 'marks' | 'heads',
): Promise<StoredObject[]> {
  return Array.fromAsync(listAll(store, `${alice}${kind}/`, never));
}

/** Bytes of Alice's packs. */
export async function packBytes(store: BackupStore): Promise<number> {
  return (await objectsOf(store, 'packs')).reduce((bytes, { sizeBytes }) => bytes + sizeBytes, 0);
}

/** A backup of Alice's must be this file. */
export async function expectKept(store: BackupStore, number: bigint, file: Buffer): Promise<void> {
  const kept = await download(store, { number });
  expect(kept.file.equals(file), `backup ${number}`).toBe(true);
}
