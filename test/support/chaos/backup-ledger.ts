/** One backup as the service lists it, with the digest of the bytes that a download of it gave. */
export interface StoredBackup {
  readonly number: bigint;
  readonly uploadId: string;
  readonly sha256: string;
}

interface Upload {
  readonly sha256: string;
  acknowledged?: bigint;
  /** Its backup is to be deleted, and may be gone; or is. */
  deletion?: 'asked' | 'acknowledged';
}

/**
 * What a backup service was sent and what it promised to keep, by database. An upload that broke off
 * may have been kept, whole, or not at all; one that was acknowledged must be listed, unless it was
 * deleted, or has so many newer ones that the service need not keep it.
 */
export class BackupLedger {
  readonly #keepLast: number;
  readonly #databases = new Map<string, Map<string, Upload>>();

  /** `keepLast`: how many of a database's newest backups the service must keep. */
  constructor(keepLast = Number.POSITIVE_INFINITY) {
    this.#keepLast = keepLast;
  }

  /** An upload of a state with this SHA-256 (in hex) begins or is tried again. */
  sending(database: string, uploadId: string, sha256: string): void {
    const uploads = this.#open(database);
    const earlier = uploads.get(uploadId);
    if (earlier && earlier.sha256 !== sha256) throw new Error(`${uploadId} was sent before`);
    if (!earlier) uploads.set(uploadId, { sha256 });
  }

  /** The service said that it keeps the upload as this number. */
  acknowledged(database: string, uploadId: string, number: bigint): void {
    const upload = this.#open(database).get(uploadId);
    if (!upload) throw new Error(`${uploadId} was acknowledged and never sent`);
    upload.acknowledged = number;
  }

  /** Acknowledged backups older than the newest, of which no deletion was asked: upload ids and numbers. */
  older(database: string): readonly (readonly [uploadId: string, number: bigint])[] {
    const newest = this.newestNumber(database);
    return [...this.#open(database)].flatMap(([uploadId, { acknowledged, deletion }]) => {
      const isOlder = acknowledged !== undefined && acknowledged < newest;
      return isOlder && deletion === undefined ? [[uploadId, acknowledged] as const] : [];
    });
  }

  /** The deletion of an upload's backup is asked for, or was acknowledged. */
  deleting(database: string, uploadId: string, deletion: 'asked' | 'acknowledged'): void {
    const upload = this.#open(database).get(uploadId);
    if (!upload) throw new Error(`${uploadId} is deleted and was never sent`);
    upload.deletion = deletion;
  }

  /** Every database of which something was sent. */
  databases(): string[] {
    return [...this.#databases.keys()];
  }

  /** Highest number that was acknowledged, 0 for none: the newest backup can't be older. */
  newestNumber(database: string): bigint {
    let newest = 0n;
    for (const { acknowledged = 0n } of this.#open(database).values()) {
      if (acknowledged > newest) newest = acknowledged;
    }
    return newest;
  }

  /** SHA-256 of what was sent under an upload id; undefined for one never sent. */
  digestOf(database: string, uploadId: string): string | undefined {
    return this.#open(database).get(uploadId)?.sha256;
  }

  /** How many uploads were acknowledged. */
  acknowledgedCount(): number {
    let count = 0;
    for (const uploads of this.#databases.values()) {
      for (const upload of uploads.values()) if (upload.acknowledged !== undefined) count++;
    }
    return count;
  }

  /** Compares all listed backups of a database, newest first, with what was promised: one line a fault. */
  faults(database: string, listed: readonly StoredBackup[]): string[] {
    const uploads = this.#open(database);
    const faults: string[] = [];
    const numbers = new Map<string, bigint>();
    const newest = [this.newestNumber(database), listed[0]?.number ?? 0n];
    const mustBeKept = (number: bigint) =>
      newest.every((one) => Number(one - number) < this.#keepLast);
    let above: bigint | undefined;
    for (const { number, uploadId, sha256 } of listed) {
      if (above !== undefined && number >= above) faults.push(`order: ${number} below ${above}`);
      above = number;
      const earlier = numbers.get(uploadId);
      if (earlier !== undefined) faults.push(`doubled: ${uploadId} is ${earlier} and ${number}`);
      numbers.set(uploadId, number);
      const upload = uploads.get(uploadId);
      if (!upload) faults.push(`unknown: ${number} is of ${uploadId}, which was never sent`);
      else if (upload.sha256 !== sha256)
        faults.push(`torn: ${number} is not what ${uploadId} sent`);
    }
    for (const [uploadId, { acknowledged, deletion }] of uploads) {
      if (acknowledged === undefined) continue;
      const number = numbers.get(uploadId);
      if (deletion === 'acknowledged' && number !== undefined) {
        faults.push(`undead: ${uploadId} was deleted, and is ${number}`);
      }
      if (number === undefined && (deletion !== undefined || !mustBeKept(acknowledged))) continue;
      if (number === undefined)
        faults.push(`lost: ${uploadId} was acknowledged as ${acknowledged}`);
      else if (number !== acknowledged) {
        faults.push(`renumbered: ${uploadId} was acknowledged as ${acknowledged}, is ${number}`);
      }
    }
    return faults.map((fault) => `${database}: ${fault}`);
  }

  #open(database: string): Map<string, Upload> {
    let uploads = this.#databases.get(database);
    if (!uploads) {
      uploads = new Map();
      this.#databases.set(database, uploads);
    }
    return uploads;
  }
}
