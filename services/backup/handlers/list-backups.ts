import { create } from '@bufbuild/protobuf';
import {
  type ListBackupsRequest,
  type ListBackupsResponse,
  ListBackupsResponseSchema,
} from '../../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import type { CallContext } from '../../common/call.ts';
import { invalidArgument } from '../../common/errors.ts';
import { LARGEST_LIST_PAGE, LIST_PAGE } from '../limits.ts';
import type { BackupStore } from '../store/store.ts';
import { openBackups, toBackup } from './answers.ts';
import { parseDatabase } from './requests.ts';

/** Answers ListBackups. A page's token is the number of its oldest backup. */
export async function listBackups(
  store: BackupStore,
  request: ListBackupsRequest,
  { caller, signal, log }: CallContext,
): Promise<ListBackupsResponse> {
  const backups = openBackups(store, parseDatabase(caller, request), log);
  const limit = Math.min(request.pageSize || LIST_PAGE, LARGEST_LIST_PAGE);
  // One more than asked for tells whether there is a next page.
  const found = await backups.list(parseToken(request.pageToken), limit + 1, signal);
  const page = found.slice(0, limit);
  const nextPageToken = found.length > limit ? String(page.at(-1)!.head.number) : '';
  return create(ListBackupsResponseSchema, { backups: page.map(toBackup), nextPageToken });
}

function parseToken(token: string): number {
  if (token === '') return Number.MAX_SAFE_INTEGER;
  const number = /^[1-9]\d{0,15}$/.test(token) ? Number(token) : Number.NaN;
  if (Number.isSafeInteger(number)) return number;
  throw invalidArgument('INVALID_FIELD', 'page_token', 'is none that this service gave');
}
