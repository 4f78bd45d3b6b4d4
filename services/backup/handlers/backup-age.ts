import { create } from '@bufbuild/protobuf';
import {
  type BackupAgeRequest,
  type BackupAgeResponse,
  BackupAgeResponseSchema,
} from '../../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import type { CallContext } from '../../common/call.ts';
import type { BackupStore } from '../store/store.ts';
import { openBackups } from './answers.ts';
import { parseDatabase } from './requests.ts';

/** Largest number that the answer's fields hold. */
const MAX_SECONDS = 2 ** 31 - 1;

/** Answers BackupAge. */
export async function backupAge(
  store: BackupStore,
  request: BackupAgeRequest,
  { caller, signal, log }: CallContext,
): Promise<BackupAgeResponse> {
  const backups = openBackups(store, parseDatabase(caller, request), log);
  const { backup, passed } = await backups.newest(signal);
  if (backup === undefined) {
    return create(BackupAgeResponseSchema, { ageSeconds: -1, databaseAgeSeconds: -1 });
  }
  const { head, createdAtMs } = backup;
  const nowMs = await store.nowMs(signal);
  const madeMs = head.databaseCreatedAtMs;
  return create(BackupAgeResponseSchema, {
    ageSeconds: secondsBetween(createdAtMs, nowMs),
    newestAtMs: BigInt(createdAtMs),
    newestNumber: BigInt(head.number),
    databaseAgeSeconds: madeMs === 0 ? -1 : secondsBetween(madeMs, nowMs),
    newestVerifiedAtMs: BigInt(passed?.createdAtMs ?? 0),
    newestVerifiedNumber: BigInt(passed?.number ?? 0),
  });
}

/** Never negative: clocks of stores are read to the second, and those of devices may be ahead. */
function secondsBetween(fromMs: number, toMs: number): number {
  return Math.min(Math.max(0, Math.floor((toMs - fromMs) / 1000)), MAX_SECONDS);
}
