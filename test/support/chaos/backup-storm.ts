import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BackupClient } from '../../../clients/backup/backup-client.ts';
import { BackscrollError } from '../../../clients/errors.ts';
import type { Random } from '../random.ts';
import { Activity } from './activity.ts';
import { BackupLedger, type StoredBackup } from './backup-ledger.ts';
import { type BackupRound, deleter, downloader, uploader } from './backup-work.ts';
import type { Check, Storm } from './storm.ts';

/** Most users of earlier rounds whose backups a check reads again. */
const rereads = 2;

/** Status of a backup that was deleted since it was listed. */
const notFound = 5;

/**
 * A backup service under load: devices that upload states of their databases, with patience and
 * without, two of them of the same database, others that restore what is there, and one that deletes.
 * Meanwhile the service deletes what is not kept, and collects and compacts. Each round has users of its
 * own; backups of earlier rounds that must be kept stay as they were once read back.
 */
export class BackupStorm implements Storm, Disposable {
  readonly name: string;
  readonly activity = new Activity();
  readonly victims: Storm['victims'];
  readonly triggers = [
    { what: 'part sent', most: 300 },
    { what: 'upload answered', most: 4 },
    { what: 'part read', most: 60 },
    { what: 'operation done', most: 10 },
  ] as const;
  readonly #client: BackupClient;
  readonly #keepLast: number;
  readonly #settled: { readonly user: string; readonly listed: StoredBackup[] }[] = [];
  #round: BackupRound | undefined;
  #rounds = 0;

  /** `address`: of the service, which has no other clients, and keeps at least the newest `keepLast`. */
  constructor(
    name: string,
    address: string,
    victims: Storm['victims'],
    keepLast = Number.POSITIVE_INFINITY,
  ) {
    this.name = name;
    this.#keepLast = keepLast;
    this.#client = new BackupClient(address);
    this.victims = victims;
  }

  async work(random: Random, over: () => boolean, signal: AbortSignal): Promise<void> {
    const tag = `${++this.#rounds} ${random.uint32().toString(36)}`;
    const folder = await mkdtemp(join(tmpdir(), 'backscroll-storm-'));
    const { activity } = this;
    const ledger = new BackupLedger(this.#keepLast);
    const round: BackupRound = { client: this.#client, activity, ledger, folder, over, signal };
    this.#round = round;
    const [ana, two] = [`ana ${tag}`, `two ${tag}`];
    try {
      await Promise.all([
        uploader(round, { user: ana, device: 'phone', random: random.fork(), patient: true }),
        uploader(round, {
          user: `b ${tag}`,
          device: 'hasty',
          random: random.fork(),
          patient: false,
        }),
        uploader(round, { user: two, device: 'phone', random: random.fork(), patient: true }),
        uploader(round, { user: two, device: 'tablet', random: random.fork(), patient: true }),
        downloader(round, ana, random.fork()),
        downloader(round, two, random.fork()),
        deleter(round, [ana, two], random.fork()),
      ]);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  async check(signal: AbortSignal): Promise<Check> {
    const ledger = this.#round?.ledger ?? new BackupLedger();
    const earlier = this.#settled.slice(-rereads);
    const faults = await this.#reread(earlier, signal);
    let backups = 0;
    for (const user of ledger.databases()) {
      const listed = await this.#readAll(user, signal);
      faults.push(...ledger.faults(user, listed));
      const { newestNumber } = await this.#client.age({ user, signal });
      if (newestNumber !== (listed[0]?.number ?? 0n)) {
        faults.push(`${user}: the age is of ${newestNumber}, the newest is ${listed[0]?.number}`);
      }
      this.#settled.push({ user, listed });
      backups += listed.length;
    }
    const checked =
      `${backups} backups of ${ledger.databases().length} databases, ` +
      `${ledger.acknowledgedCount()} of them acknowledged; ${earlier.length} earlier databases`;
    return { faults, checked };
  }

  async recheck(signal: AbortSignal): Promise<Check> {
    const faults = await this.#reread(this.#settled, signal);
    return { faults, checked: `${this.#settled.length} databases of all rounds` };
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }

  async #reread(
    settled: readonly { readonly user: string; readonly listed: StoredBackup[] }[],
    signal: AbortSignal,
  ): Promise<string[]> {
    const faults: string[] = [];
    for (const { user, listed } of settled) {
      const now = await this.#readAll(user, signal);
      const mustBeKept = listed.slice(0, this.#keepLast);
      const isIn = (all: readonly StoredBackup[]) => (one: StoredBackup) =>
        all.some(({ number, sha256 }) => one.number === number && one.sha256 === sha256);
      const same = now.every(isIn(listed)) && mustBeKept.every(isIn(now));
      if (!same) faults.push(`${user}: changed since it was checked`);
    }
    return faults;
  }

  async #readAll(user: string, signal: AbortSignal): Promise<StoredBackup[]> {
    const stored: StoredBackup[] = [];
    for await (const { number, uploadId } of this.#client.list({ user, signal })) {
      const sha256 = await this.#read(user, number, signal);
      if (sha256 !== undefined) stored.push({ number, uploadId, sha256 });
    }
    return stored;
  }

  /** SHA-256 of a backup in hex; undefined where it was deleted since it was listed. */
  async #read(user: string, number: bigint, signal: AbortSignal): Promise<string | undefined> {
    const hash = createHash('sha256');
    try {
      await using download = await this.#client.download({ user, number, signal });
      for await (const bytes of download) hash.update(bytes);
    } catch (error) {
      if (error instanceof BackscrollError && error.code === notFound) return undefined;
      throw error;
    }
    return hash.digest('hex');
  }
}
