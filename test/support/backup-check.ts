import { createHash, randomBytes } from 'node:crypto';
import type { BackupClient } from '../../clients/backup/backup-client.ts';
import { BackscrollError } from '../../clients/errors.ts';
import {
  type Backup,
  VerificationState,
} from '../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import { readerOf } from './memory-reader.ts';

const invalidArgument = 3;

/** Longest that a small upload may take, in milliseconds: a damaged file must not hang the service. */
const patienceMs = 30_000;

/**
 * Uploads a small file, first what changed and then the whole, and reads it back; throws where a byte
 * differs, or where the two ways do, or where it does not pass its verification.
 */
export async function checkRoundTrip(
  client: BackupClient,
  user: string,
  database: string,
  bytes: Uint8Array,
): Promise<void> {
  const { verification } = await roundTrip(client, user, database, bytes);
  if (verification?.state !== VerificationState.PASSED) {
    throw new Error(`${database} has failed: ${verification?.reason} ${verification?.detail}`);
  }
}

async function roundTrip(
  client: BackupClient,
  user: string,
  database: string,
  bytes: Uint8Array,
): Promise<Backup> {
  const signal = AbortSignal.timeout(patienceMs);
  const { whole, changes } = sourcesOf(bytes);
  const options = { user, database, waitForVerification: true, signal };
  const first = await client.upload(changes, options);
  const { backup } = await client.upload(whole, options);
  if (Buffer.compare(first.backup.root, backup.root) !== 0) {
    throw new Error(`${database} is another file when it is sent whole`);
  }
  await using download = await client.download({ user, database, number: backup.number, signal });
  const parts = await Array.fromAsync(download);
  if (!Buffer.concat(parts).equals(bytes)) throw new Error(`${database} came back otherwise`);
  return backup;
}

/**
 * Uploads a damaged file: it is refused for a reason, or given back as it is, and then marked as failed,
 * for a reason as well, unless it passes its verification. Tells which.
 */
export async function checkDamaged(
  client: BackupClient,
  user: string,
  database: string,
  bytes: Buffer,
): Promise<'refused' | 'failed' | 'passed'> {
  try {
    const { verification } = await roundTrip(client, user, database, bytes);
    if (verification?.state === VerificationState.PASSED) return 'passed';
    if (verification?.reason && verification.detail) return 'failed';
    throw new Error(`${database} has failed without a reason`);
  } catch (error) {
    if (!(error instanceof BackscrollError) || error.code !== invalidArgument) throw error;
    if (error.reason === '' || error.reason === 'INVALID_ARGUMENT') {
      throw new Error(`${database} was refused without a reason`, { cause: error });
    }
    const again = await client.upload(sourcesOf(bytes).whole, { user, database }).catch((e) => e);
    if (again.reason !== error.reason) {
      throw new Error(`${database} is not refused alike when it is sent whole`, { cause: again });
    }
    return 'refused';
  }
}

/**
 * Uploads a small file sealed and reads it back; throws where a byte differs, or where it is refused and
 * the plain one is not, or for another reason.
 */
export async function checkSealed(
  client: BackupClient,
  user: string,
  database: string,
  bytes: Uint8Array,
): Promise<void> {
  const signal = AbortSignal.timeout(patienceMs);
  const { changes } = sourcesOf(bytes);
  const sealed = { user, database: `sealed ${database}`, key: randomBytes(32), signal };
  const [plain, result] = await Promise.all([
    client.upload(changes, { user, database, signal }).catch(reasonOf),
    client.upload(changes, sealed).catch(reasonOf),
  ]);
  if (typeof plain === 'string' || typeof result === 'string') {
    if (plain === result) return;
    throw new Error(`${database} is not refused alike when it is sealed`, {
      cause: [plain, result],
    });
  }
  await using download = await client.download({ ...sealed, number: result.backup.number });
  const parts = await Array.fromAsync(download);
  if (!Buffer.concat(parts).equals(bytes)) throw new Error(`${database} was opened otherwise`);
}

function reasonOf(error: unknown): string {
  if (error instanceof BackscrollError && error.code === invalidArgument) return error.reason;
  throw error;
}

/** A file, to be sent whole, or as what changed of it. */
function sourcesOf(bytes: Uint8Array) {
  const whole = {
    sizeBytes: bytes.length,
    async *stream() {
      yield bytes;
    },
  };
  return { whole, changes: { ...whole, open: async () => readerOf(bytes) } };
}

/** SHA-256 in hex of a stream. */
export async function digestOf(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash('sha256');
  for await (const bytes of stream) hash.update(bytes);
  return hash.digest('hex');
}
