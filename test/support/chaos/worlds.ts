import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freshBucket, freshDatabase } from '../databases.ts';
import { startMinio, startMysql } from '../engines.ts';
import { untilNothingHeld } from '../gauges.ts';
import { migrate } from '../migrate.ts';
import type { Random } from '../random.ts';
import { smallCorpus } from '../small-corpus.ts';
import { BackupStorm } from './backup-storm.ts';
import { importChats } from './copy-imports.ts';
import { CopyStorm } from './copy-storm.ts';
import { launchReplicas, longDead } from './copy-world.ts';
import { DeviceStorm } from './device-storm.ts';
import { HistoryStorm } from './history-storm.ts';
import { type Kill, rageRound, type Storm, type Victim } from './storm.ts';
import { engineVictim, ServiceVictim } from './victims.ts';

/** A storm with the real processes that it rages on. Disposing it ends them and removes their data. */
export interface World<S extends Storm = Storm> extends AsyncDisposable {
  readonly storm: S;
  /** The service that it rages on: one process, or replicas of it. */
  readonly services: readonly ServiceVictim[];
}

/** All worlds: each service on the engine for production and on the embedded default. */
export const worlds = {
  'history on MySQL': historyOnMysql,
  'history on SQLite': historyOnSqlite,
  'copies from MySQL': copiesFromMysql,
  'copies from SQLite': copiesFromSqlite,
  'backup on MinIO': backupOnMinio,
  'backup on a folder': backupInFolder,
  'devices of a person': devicesOfPerson,
} as const;

/** Most operations of a storm of copies between two kills. */
const mostOperations = 1_200;

/** Most steps of a person with devices between two kills. */
const mostSteps = 500;

/** Longest that the import of the small corpus may take, in milliseconds. */
const importMs = 120_000;

/** Backups that a service of backups keeps of each database. */
const keepLast = 4;

/**
 * How a service of backups is made to collect while a storm rages: it looks for what is not needed every
 * second, and deletes it so soon that uploads and downloads must be short, as those here are: that is what `hastyBackup` is for.
 */
const busyKeeping = {
  BACKUP_KEEP_LAST: String(keepLast),
  BACKUP_KEEP_DAILY: '0',
  BACKUP_KEEP_WEEKLY: '0',
  BACKUP_KEEP_MONTHLY: '0',
  BACKUP_KEEP_FLOOR_HOURS: '0',
  BACKUP_SWEEP_SECONDS: '1',
};

/** Longest that a service may hold on to what nobody waits for, in milliseconds. */
const heldMs = 10_000;

/** A service of backups whose longest transfer is shorter than may be set. */
const hastyBackup = 'test/support/chaos/hasty-backup.ts';

/**
 * One round in a world: `rageRound`, and then nothing may be held by the service any more. What it
 * throws tells what the service said last.
 */
export async function survive(
  world: World,
  random: Random,
  kills: number,
  onKill: (kill: Kill) => void,
): Promise<string> {
  const { storm, services } = world;
  try {
    const checked = await rageRound(storm, random, kills, onKill);
    for (const { metrics } of services) {
      await untilNothingHeld(metrics, AbortSignal.timeout(heldMs));
    }
    return checked;
  } catch (error) {
    const words = services.map((service) => `${service.name} said:\n${service.lastWords()}`);
    throw new Error(`${storm.name} broke; ${words.join('\n')}`, { cause: error });
  }
}

async function historyOnMysql(): Promise<World> {
  await using made = new AsyncDisposableStack();
  const engine = made.use(await startMysql());
  const { url } = await freshDatabase(engine.url);
  await migrate(url);
  const service = made.use(await ServiceVictim.launch('history', { HISTORY_DATABASE_URL: url }));
  const mysql = engineVictim('MySQL', engine);
  const victims = [[service], [mysql], [service], [mysql, service]];
  return world(
    made.use(new HistoryStorm('history on MySQL', service.address, victims)),
    service,
    made,
  );
}

async function historyOnSqlite(): Promise<World> {
  await using made = new AsyncDisposableStack();
  const folder = await temporaryFolder(made);
  const url = `sqlite:${join(folder, 'history.db')}`;
  const service = made.use(await ServiceVictim.launch('history', { HISTORY_DATABASE_URL: url }));
  return world(
    made.use(new HistoryStorm('history on SQLite', service.address, [[service]])),
    service,
    made,
  );
}

async function copiesFromMysql(): Promise<World> {
  await using made = new AsyncDisposableStack();
  const engine = made.use(await startMysql());
  const { url } = await freshDatabase(engine.url);
  await migrate(url);
  const mysql = engineVictim('MySQL', engine);
  const owned = made.use(await copiesFrom('copies from MySQL', url, 2, mostOperations, [mysql]));
  await importChats(owned.storm.life, smallCorpus(), AbortSignal.timeout(importMs));
  return { ...owned, [Symbol.asyncDispose]: keeper(made) };
}

async function copiesFromSqlite(): Promise<World> {
  await using made = new AsyncDisposableStack();
  const url = `sqlite:${join(await temporaryFolder(made), 'history.db')}`;
  const owned = made.use(await copiesFrom('copies from SQLite', url, 1, mostOperations));
  await importChats(owned.storm.life, smallCorpus(), AbortSignal.timeout(importMs));
  return { ...owned, [Symbol.asyncDispose]: keeper(made) };
}

/**
 * Devices that keep copies of a history service, which has `replicas` over the database at `url`, with
 * at most `most` operations between two kills.
 */
export async function copiesFrom(
  name: string,
  url: string,
  replicas: number,
  most: number,
  engines: readonly Victim[] = [],
): Promise<World<CopyStorm>> {
  await using made = new AsyncDisposableStack();
  const services = await launchReplicas(made, url, replicas);
  const dying = services.map((service) => longDead(service, url));
  const victims = [...dying.map((one) => [one]), ...engines.map((one) => [one])];
  if (replicas > 1) victims.push(dying);
  const addresses = services.map(({ address }) => address);
  const storm = made.use(new CopyStorm(name, addresses, victims, most));
  return { storm, services, [Symbol.asyncDispose]: keeper(made) };
}

async function devicesOfPerson(): Promise<World> {
  return devicesOn('devices of a person', mostSteps);
}

/** Devices of one person before a history service on SQLite, with at most `most` steps between two kills. */
export async function devicesOn(name: string, most: number): Promise<World<DeviceStorm>> {
  await using made = new AsyncDisposableStack();
  const url = `sqlite:${join(await temporaryFolder(made), 'history.db')}`;
  const services = await launchReplicas(made, url, 1);
  const service = services[0]!;
  // After months, devices have to begin anew: mostly they are to go on with what they hold.
  const victims = [[service], [service], [service], [longDead(service, url)]];
  const storm = made.use(await DeviceStorm.begin(name, service.address, victims, most));
  return { storm, services, [Symbol.asyncDispose]: keeper(made) };
}

async function backupOnMinio(): Promise<World> {
  await using made = new AsyncDisposableStack();
  const engine = made.use(await startMinio());
  const { url, accessKey, secretKey } = await freshBucket(engine.url);
  const minioKeys = { MINIO_ACCESS_KEY: accessKey, MINIO_SECRET_KEY: secretKey };
  const env = { BACKUP_STORE_URL: url, ...minioKeys, ...busyKeeping };
  const service = made.use(await ServiceVictim.launch('backup', env, hastyBackup));
  const minio = engineVictim('MinIO', engine);
  const victims = [[service], [minio], [minio, service]];
  return world(
    made.use(new BackupStorm('backup on MinIO', service.address, victims, keepLast)),
    service,
    made,
  );
}

async function backupInFolder(): Promise<World> {
  await using made = new AsyncDisposableStack();
  const folder = await temporaryFolder(made);
  const url = `file:${join(folder, 'backups')}`;
  const env = { BACKUP_STORE_URL: url, ...busyKeeping };
  const service = made.use(await ServiceVictim.launch('backup', env, hastyBackup));
  return world(
    made.use(new BackupStorm('backup on a folder', service.address, [[service]], keepLast)),
    service,
    made,
  );
}

function world(storm: Storm, service: ServiceVictim, made: AsyncDisposableStack): World {
  return { storm, services: [service], [Symbol.asyncDispose]: keeper(made) };
}

/** What disposes of all that was made; it is no longer `made`'s. */
function keeper(made: AsyncDisposableStack): () => Promise<void> {
  const owned = made.move();
  return () => owned.disposeAsync();
}

async function temporaryFolder(made: AsyncDisposableStack): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'backscroll-storm-'));
  made.defer(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
