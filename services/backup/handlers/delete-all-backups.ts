import { create } from '@bufbuild/protobuf';
import {
  type DeleteAllBackupsRequest,
  type DeleteAllBackupsResponse,
  DeleteAllBackupsResponseSchema,
} from '../../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import type { CallContext } from '../../common/call.ts';
import { eraseAll } from '../domain/kept/erasure.ts';
import { keys } from '../domain/keys.ts';
import type { BackupStore } from '../store/store.ts';
import { parseDatabase } from './requests.ts';

/** Answers DeleteAllBackups. */
export async function deleteAllBackups(
  store: BackupStore,
  request: DeleteAllBackupsRequest,
  { caller, signal }: CallContext,
): Promise<DeleteAllBackupsResponse> {
  const name = parseDatabase(caller, request);
  const prefix = request.database === '' ? keys.user(name.user) : keys.database(name);
  const deleted = await eraseAll(store, prefix, signal);
  return create(DeleteAllBackupsResponseSchema, { deleted: BigInt(deleted) });
}
