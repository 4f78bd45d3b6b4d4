import { createHash, randomBytes } from 'node:crypto';
import type { BackupClient } from '../../clients/backup-client.ts';
import { BackscrollError } from '../../clients/errors.ts';
import { readerOf } from './memory-reader.ts';

/** The first bytes of every SQLite file that is not encrypted. */
const sqliteMagic = Buffer.from('SQLite format 3\0');

const invalidArgument = 3;

/** Longest that a small upload may take, in milliseconds: a damaged file must not hang the service. */
const patienceMs = 30_000;

/**
 * Uploads a small file, first what changed and then the whole, and reads it back; throws where a byte
 * differs, or where the two ways do.
 */
export async function checkRoundTrip(
  client: BackupClient,
  user: string,
  database: string,
  bytes: Uint8Array,
): Promise<void> {
  const signal = AbortSignal.timeout(patienceMs);
  const { whole, changes } = sourcesOf(bytes);
  await client.upload(changes, { user, database, signal });
  const { backup, unchanged } = await client.upload(whole, { user, database, signal });
  if (!unchanged) throw new Error(`${database} is another file when it is sent whole`);
  await using download = await client.download({ user, database, number: backup.number, signal });
  const parts = await Array.fromAsync(download);
  if (!Buffer.concat(parts).equals(bytes)) throw new Error(`${database} came back otherwise`);
}

/**
 * Uploads a damaged file: it is refused for a reason, or kept and given back as it is; without a SQLite
 * header it must be refused. Tells which.
 */
export async function checkDamaged(
  client: BackupClient,
  user: string,
  database: string,
  bytes: Buffer,
): Promise<'refused' | 'kept'> {
  const hasHeader = bytes.subarray(0, sqliteMagic.length).equals(sqliteMagic);
  try {
    await checkRoundTrip(client, user, database, bytes);
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
  if (!hasHeader) throw new Error(`${database} has no SQLite header and was kept`);
  return 'kept';
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
