import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { BackupClient } from '../../../clients/backup/backup-client.ts';
import type { UploadSource } from '../../../clients/backup/database-file.ts';
import { BackscrollError } from '../../../clients/errors.ts';
import { readerOf } from '../memory-reader.ts';
import type { Random } from '../random.ts';
import type { Activity } from './activity.ts';
import type { BackupLedger } from './backup-ledger.ts';
import { ChangingDatabase } from './changing-database.ts';
import { attempt, pause } from './patience.ts';

/** What the clients of one round share. */
export interface BackupRound {
  readonly client: BackupClient;
  readonly activity: Activity;
  readonly ledger: BackupLedger;
  /** Folder for the databases of the round. */
  readonly folder: string;
  readonly over: () => boolean;
  readonly signal: AbortSignal;
}

/** Status of an upload that another one of the same database came before. */
const aborted = 10;

/** Status of a backup that was deleted. */
const notFound = 5;

/** Status with which a hasty uploader gives up. */
const cancelled = 1;

/**
 * Uploads one state of a user's database after the other. A patient one repeats an upload until it is
 * answered; a hasty one never asks what became of one that broke off.
 */
export async function uploader(
  round: BackupRound,
  {
    user,
    device,
    random,
    patient,
  }: { user: string; device: string; random: Random; patient: boolean },
): Promise<void> {
  using database = new ChangingDatabase(join(round.folder, `${user} ${device}.db`), random);
  for (let state = 0; !round.over(); state++) {
    const bytes = database.next();
    const uploadId = `${device} ${state}`;
    round.ledger.sending(user, uploadId, sha256(bytes));
    const upload = async () => {
      const inOrder = random.oneIn(2);
      const { backup } = await round.client.upload(source(bytes, patient, inOrder), {
        user,
        uploadId,
        onProgress: () => round.activity.happened('part sent'),
        signal: round.signal,
      });
      round.ledger.acknowledged(user, uploadId, backup.number);
      round.activity.happened('upload answered');
    };
    let answered: boolean;
    do {
      answered = await attempt(round, 'upload', device, upload, [aborted, cancelled]);
    } while (patient && !answered);
  }
}

/**
 * Downloads the newest backup, or an older one, again and again: always a whole state that was sent, and
 * where it is the newest a recent one.
 */
export async function downloader(round: BackupRound, user: string, random: Random): Promise<void> {
  const { client, activity, ledger, signal } = round;
  while (!round.over()) {
    const older = ledger.older(user);
    if (older.length > 0 && random.oneIn(2)) {
      const [uploadId, number] = random.pick(older);
      await readOlder(round, { user, uploadId, number });
      continue;
    }
    const acknowledged = ledger.newestNumber(user);
    if (acknowledged === 0n) {
      await pause(signal);
      continue;
    }
    await attempt(round, 'download', user, async () => {
      await using download = await client.download({ user, signal });
      const hash = createHash('sha256');
      for await (const bytes of download) {
        activity.happened('part read');
        hash.update(bytes);
      }
      const { number, uploadId } = download.backup;
      if (number < acknowledged) {
        throw new Error(`${user}: ${number} is newest, not ${acknowledged}`);
      }
      if (hash.digest('hex') !== ledger.digestOf(user, uploadId)) {
        throw new Error(`${user}: backup ${number} is not what ${uploadId} sent`);
      }
    });
  }
}

/** Downloads a backup that may be deleted meanwhile. */
async function readOlder(
  { client, activity, ledger, signal }: BackupRound,
  { user, uploadId, number }: { user: string; uploadId: string; number: bigint },
): Promise<void> {
  const read = async () => {
    const hash = createHash('sha256');
    await using download = await client.download({ user, number, signal });
    for await (const bytes of download) {
      activity.happened('part read');
      hash.update(bytes);
    }
    if (hash.digest('hex') !== ledger.digestOf(user, uploadId)) {
      throw new Error(`${user}: backup ${number} is not what ${uploadId} sent`);
    }
  };
  await attempt({ activity, signal }, 'download', user, read, [notFound]);
}

/** Deletes older backups now and then. */
export async function deleter(
  round: BackupRound,
  users: readonly string[],
  random: Random,
): Promise<void> {
  const { client, activity, ledger, signal } = round;
  while (!round.over()) {
    const user = random.pick(users);
    const older = ledger.older(user);
    if (older.length > 1 && random.oneIn(4)) {
      const [uploadId, number] = random.pick(older);
      ledger.deleting(user, uploadId, 'asked');
      const remove = async () => {
        await client.delete({ user, number, signal });
        ledger.deleting(user, uploadId, 'acknowledged');
        activity.happened('operation done');
      };
      await attempt(round, 'operation', user, remove, [notFound]);
    }
    await pause(signal);
  }
}

/** SHA-256 in hex. */
export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** An impatient client does not send its file a second time. */
function gaveUp(): BackscrollError {
  return new BackscrollError('will not be sent again', { code: cancelled, reason: 'GAVE_UP' });
}

/** A file; one that can be read in order alone is sent whole, and of others what changed. */
function source(bytes: Uint8Array, patient: boolean, inOrder: boolean): UploadSource {
  const part = 64 * 1024;
  let tries = 0;
  const begin = () => {
    if (tries++ > 0 && !patient) throw gaveUp();
  };
  const whole = {
    sizeBytes: bytes.length,
    async *stream() {
      begin();
      for (let at = 0; at < bytes.length; at += part) yield bytes.subarray(at, at + part);
    },
  };
  if (inOrder) return whole;
  const open = async () => {
    begin();
    return readerOf(bytes);
  };
  return { ...whole, open };
}
