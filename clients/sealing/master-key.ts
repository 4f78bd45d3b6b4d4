import { createSecretKey, hash, type KeyObject, type ScryptOptions, scrypt } from 'node:crypto';
import { promisify } from 'node:util';
import type { SealingKey } from '../gen/backscroll/backup/v1/backup_pb.ts';
import { deriveKey, type SealedDatabase, Sealer } from './sealer.ts';

/** Length of a master key in bytes. */
export const KEY_BYTES = 32;

/** How a passphrase becomes a master key. */
export interface ScryptParameters {
  readonly salt: Uint8Array;
  readonly log2N: number;
  readonly r: number;
  readonly p: number;
}

/** The cost of a guess: about half a second and 128 MiB. */
export const SCRYPT_COST = { log2N: 17, r: 8, p: 1 } as const;

/** Most memory that the parameters found with a backup may ask for, in bytes. */
const MOST_SCRYPT_BYTES = 1024 ** 3;

const runScrypt: (
  passphrase: string,
  salt: Uint8Array,
  keyBytes: number,
  options: ScryptOptions,
) => Promise<Buffer> = promisify(scrypt);

/** The secret from which all keys of a user's databases are derived. */
export class MasterKey {
  readonly #key: KeyObject;
  /** Names it without telling it; 16 bytes. */
  readonly id: Buffer;
  /** How it comes from a passphrase; undefined where it was given as bytes. */
  readonly scrypt: ScryptParameters | undefined;

  private constructor(bytes: Uint8Array, scrypt?: ScryptParameters) {
    this.#key = createSecretKey(bytes);
    this.id = deriveKey(this.#key, 'key id', 16);
    this.scrypt = scrypt;
  }

  /** One of 32 secret bytes, which must be random. Throws RangeError where they are not as many. */
  static ofBytes(bytes: Uint8Array): MasterKey {
    if (bytes.length === KEY_BYTES) return new MasterKey(bytes);
    throw new RangeError(`a key has ${KEY_BYTES} bytes, not ${bytes.length}`);
  }

  /**
   * One of a passphrase, whose characters count however they are composed. Throws RangeError where
   * the passphrase is empty, or the parameters are not possible or ask for more than 1 GiB.
   */
  static async ofPassphrase(passphrase: string, cost: ScryptParameters): Promise<MasterKey> {
    if (passphrase === '') throw new RangeError('the passphrase is empty');
    const { salt, log2N, r, p } = cost;
    const N = 2 ** log2N;
    // What the algorithm itself needs besides its table is small.
    const bytes = 128 * r * (N + p + 2);
    // By Node, 0 would mean its default.
    if (r < 1 || p < 1 || !(bytes <= MOST_SCRYPT_BYTES)) {
      throw new RangeError('the parameters of the passphrase ask for too much, or can not be');
    }
    const options = { N, r, p, maxmem: bytes };
    return new MasterKey(
      await runScrypt(passphrase.normalize('NFC'), salt, KEY_BYTES, options),
      cost,
    );
  }

  /** The key as a backup tells of it. */
  get description(): Pick<SealingKey, 'id'> & { scrypt?: ScryptParameters } {
    return { id: this.id, ...(this.scrypt && { scrypt: this.scrypt }) };
  }

  /** Seals and opens the pages of a database. */
  sealer(database: SealedDatabase): Sealer {
    return new Sealer(this.#key, database);
  }
}

/**
 * The parameters of the first upload of a database under a passphrase. The salt is of its own for each
 * upload, and the same in each try of one, so that what a try has sent serves the next.
 */
export function firstScrypt({ user, database }: SealedDatabase, uploadId: string) {
  const salt = hash('sha256', `backscroll salt 1\0${user}\0${database}\0${uploadId}`, 'buffer');
  return { salt: salt.subarray(0, 16), ...SCRYPT_COST };
}
