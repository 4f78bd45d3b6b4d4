import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  type Backup,
  type UploadStartSchema,
  VerifyBackupRequestSchema,
} from '../../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import type { CheckDatabase } from '../../../services/backup/domain/verification/verify.ts';
import { verifyBackup } from '../../../services/backup/handlers/verify-backup.ts';
import { quickCheckIn } from '../../../services/backup/quick-check.ts';
import type { BackupStore } from '../../../services/backup/store/store.ts';
import { Verifier } from '../../../services/backup/verifier.ts';
import { createLogger } from '../../../services/common/logger.ts';
import { Metrics } from '../../../services/common/metrics.ts';
import { never } from './engines.ts';
import { callContext, upload } from './transfers.ts';

/** How often the verifier under test verifies anew, in milliseconds. */
export const EVERY_MS = 30 * 24 * 3_600_000;

/** A verifier under test, and what it counts. */
export class TestVerifier extends Verifier {
  readonly #metrics: Metrics;
  readonly #store: BackupStore;

  /** Where its files are while it needs them. */
  readonly folder: string;

  private constructor(store: BackupStore, check: CheckDatabase, folder: string, metrics: Metrics) {
    const log = createLogger('test', 'silent');
    super({ store, check, everyMs: EVERY_MS, log, metrics });
    this.#metrics = metrics;
    this.#store = store;
    this.folder = folder;
  }

  /** Makes one that ends with the stack; `wrap` may come between it and its check. */
  static async open(
    stack: AsyncDisposableStack,
    store: BackupStore,
    wrap: (check: CheckDatabase, folder: string) => CheckDatabase = (check) => check,
  ): Promise<TestVerifier> {
    const { path } = stack.use(await mkdtempDisposable(join(tmpdir(), 'verify-')));
    return stack.use(new TestVerifier(store, wrap(quickCheckIn(path), path), path, new Metrics()));
  }

  /** Uploads a file of alice's, unless told otherwise, and waits for its verification. */
  async upload(
    file: Uint8Array,
    start: MessageInitShape<typeof UploadStartSchema> = {},
  ): Promise<Backup> {
    const waiting = { waitForVerification: true, ...start };
    return (await upload(this.#store, file, waiting, undefined, this)).backup;
  }

  /** Verifies a backup of alice's: the newest, unless told otherwise. */
  async verifyNow(
    request: MessageInitShape<typeof VerifyBackupRequestSchema> = {},
    signal?: AbortSignal,
  ): Promise<Backup> {
    const message = create(VerifyBackupRequestSchema, { user: 'alice', ...request });
    return (await verifyBackup(this.#store, this, message, callContext(signal))).backup!;
  }

  /** How many verifications came to this verdict. */
  async verdicts(verdict = 'PASSED'): Promise<number> {
    const metric = this.#metrics.registry.getSingleMetric('backup_verifications_total');
    const { values } = (await metric?.get()) ?? { values: [] };
    return values.find(({ labels }) => labels.verdict === verdict)?.value ?? 0;
  }

  /** A gauge of its metrics. */
  async gauge(name: string): Promise<number> {
    return (await this.#metrics.registry.getSingleMetric(name)?.get())?.values[0]?.value ?? -1;
  }
}

/** Changes one byte of a stored object, which nobody else ever does. */
export async function damage(store: BackupStore, key: string, at: number): Promise<void> {
  const bytes = await store.get(key, undefined, never);
  bytes![at < 0 ? bytes!.length + at : at]! ^= 1;
  await store.delete(key, never);
  await store.put(key, bytes!, never);
}

/** A real SQLite database, made by these statements. */
export function databaseOf(...statements: string[]): Buffer {
  return changed(Buffer.alloc(0), ...statements);
}

/** A database as it is after some statements. */
export function changed(file: Buffer, ...statements: string[]): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'verify-'));
  try {
    const path = join(folder, 'made.db');
    writeFileSync(path, file);
    const database = new DatabaseSync(path, { defensive: false });
    for (const statement of statements) database.exec(statement);
    database.close();
    return readFileSync(path);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A chat's database with so many rows, of which each is other than those of another seed. */
export function chatDatabase(rows: number, seed = 0): Buffer {
  return databaseOf(
    'CREATE TABLE message (id INTEGER PRIMARY KEY, text TEXT); CREATE INDEX by_text ON message (text)',
    `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows})
      INSERT INTO message (text) SELECT 'message ' || ((i * 7919 + ${seed}) % 100003) || hex(zeroblob(40)) FROM n`,
  );
}
