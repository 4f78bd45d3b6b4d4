import { create } from '@bufbuild/protobuf';
import {
  type GetUsageRequest,
  type GetUsageResponse,
  GetUsageResponseSchema,
} from '../../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import type { CallContext } from '../../common/call.ts';
import { usageOf } from '../domain/kept/usage.ts';
import type { BackupStore } from '../store/store.ts';
import { parseUser } from './requests.ts';

/** Answers GetUsage. */
export async function getUsage(
  store: BackupStore,
  quotaBytes: number,
  request: GetUsageRequest,
  { caller, signal }: CallContext,
): Promise<GetUsageResponse> {
  const usage = await usageOf(store, parseUser(caller, request), signal);
  return create(GetUsageResponseSchema, {
    storedBytes: BigInt(usage.storedBytes),
    quotaBytes: BigInt(quotaBytes),
    backups: BigInt(usage.backups),
    databases: usage.databases,
  });
}
