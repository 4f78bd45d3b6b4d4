import { join } from 'node:path';
import { readBackupConfig } from '../../services/backup/config.ts';
import { findLiving } from '../../services/backup/domain/collection/living.ts';
import { PackUses } from '../../services/backup/domain/collection/pack-use.ts';
import { tidy } from '../../services/backup/domain/collection/tidy.ts';
import { Backups } from '../../services/backup/domain/kept/backups.ts';
import { prune } from '../../services/backup/domain/kept/prune.ts';
import { keys } from '../../services/backup/domain/keys.ts';
import { listAll } from '../../services/backup/domain/listing.ts';
import { StoredMap } from '../../services/backup/domain/packs/map-file.ts';
import { GRACE_TRANSFERS, SPARED_TRANSFERS, TRANSFER_MS } from '../../services/backup/limits.ts';
import { MinioStore } from '../../services/backup/store/minio.ts';
import type { ListOptions, StoredObject } from '../../services/backup/store/store.ts';
import { type Device, passDay } from './backup.ts';
import { byTurns } from './measure.ts';
import { cost, type Result } from './result.ts';
import type { Bench } from './setup.ts';

const days = 100;

/** Days after them, of one transfer's longest time each, until nothing is left that only waits to be deleted. */
const restDays = SPARED_TRANSFERS + GRACE_TRANSFERS + 2;

const mebibyte = 1024 * 1024;
const { signal } = new AbortController();

/**
 * Uploads a database on 100 days in a row, each after a day's change, and keeps the store as the service
 * does at night, with its usual policy. Then compares the restore with that of the same file uploaded
 * afresh, and the store with what is needed of it.
 */
export async function measureDays(bench: Bench, device: Device): Promise<Result[]> {
  await using store = new StoreOfDays(bench.store);
  const prefix = keys.database({ user: bench.user, database: 'days' });
  await device.app.run('upload', device.path, 'days');
  await device.app.run('untilVerified', 'days');
  for (let day = 1; day <= days; day++) {
    await store.nextDay();
    await passDay(device);
    await device.app.run('upload', device.path, 'days');
    await keep(store, prefix);
    if (day % 10 === 0) console.error(`    day ${day}`);
  }
  for (let day = 0; day < restDays; day++) {
    await store.nextDay();
    await keep(store, prefix);
  }
  const { stored, needed } = await usage(store, prefix);
  await device.app.run('upload', device.path, 'afresh');
  await device.app.run('untilVerified', 'afresh');
  const restored = join(bench.folder, 'restored.db');
  const { ours, bare } = await byTurns(
    async () => ({ seconds: await device.app.run('restore', 'days', restored) }),
    async () => ({ seconds: await device.app.run('restore', 'afresh', restored) }),
    3,
  );
  return [
    cost('restore after 100 days, beside afresh', 's', ours.seconds, bare.seconds, 1.5),
    cost('store after 100 days, beside needed', 'MiB', stored / mebibyte, needed / mebibyte, 1.2),
  ];
}

/** A store in which as many days pass as one says. */
class StoreOfDays extends MinioStore {
  /** When each of them began, by the store's own clock. */
  readonly #beganMs: number[] = [];

  async nextDay(): Promise<void> {
    this.#beganMs.push(await super.nowMs(signal));
  }

  override async nowMs(): Promise<number> {
    return this.#later(await super.nowMs(signal));
  }

  override async list(prefix: string, options: ListOptions): Promise<StoredObject[]> {
    const objects = await super.list(prefix, options, signal);
    return objects.map((object) => ({ ...object, storedAtMs: this.#later(object.storedAtMs) }));
  }

  #later(ms: number): number {
    return ms + TRANSFER_MS * this.#beganMs.filter((beganMs) => beganMs <= ms).length;
  }
}

/** What the service does with a database every few hours. */
async function keep(store: StoreOfDays, prefix: string): Promise<void> {
  const config = readBackupConfig({});
  const policy = {
    last: config.BACKUP_KEEP_LAST,
    daily: config.BACKUP_KEEP_DAILY,
    weekly: config.BACKUP_KEEP_WEEKLY,
    monthly: config.BACKUP_KEEP_MONTHLY,
    floorMs: config.BACKUP_KEEP_FLOOR_HOURS * 3_600_000,
  };
  const onDamage = (error: Error) => {
    throw error;
  };
  const backups = new Backups(store, prefix, (_key, error) => onDamage(error));
  await prune(store, backups, policy, TRANSFER_MS, signal);
  await tidy({ store, transferMs: TRANSFER_MS, onDamage, signal }, prefix);
}

/** Bytes of all packs, and of what backups need of them. */
async function usage(store: StoreOfDays, prefix: string) {
  let stored = 0;
  for await (const { sizeBytes } of listAll(store, keys.packs(prefix), signal)) stored += sizeBytes;
  const uses = new PackUses();
  const { maps } = await findLiving(store, prefix, signal);
  for (const object of maps) await uses.add(await StoredMap.open(store, object, signal), signal);
  let needed = 0;
  for (const { liveBytes } of uses.packs.values()) needed += liveBytes;
  return { stored, needed };
}
