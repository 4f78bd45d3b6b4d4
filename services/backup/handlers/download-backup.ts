import { create, toBinary } from '@bufbuild/protobuf';
import { encodeBytesField, startBytesField } from '../../../clients/format/bytes-field.ts';
import {
  type DownloadBackupRequest,
  type DownloadBackupResponse,
  DownloadBackupResponseSchema,
  type FrameCodec,
  FrameSchema,
} from '../../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import type { CallContext } from '../../common/call.ts';
import { failedPrecondition } from '../../common/errors.ts';
import { DamageError } from '../domain/coding.ts';
import { takesTooLong } from '../domain/collection/reuse.ts';
import { readFile, readFrames } from '../domain/download.ts';
import type { Backups, KeptBackup } from '../domain/kept/backups.ts';
import type { PagesFrame } from '../domain/packs/page-reader.ts';
import { TRANSFER_MS } from '../limits.ts';
import type { BackupStore } from '../store/store.ts';
import { backupNotFound, damageAsDataLoss, findBackup, openBackups, toBackup } from './answers.ts';
import { parseBackupNumber, parseCount, parseDatabase } from './requests.ts';

const { data: DATA, frame: FRAME } = DownloadBackupResponseSchema.field;

/**
 * Answers DownloadBackup, in file order, as the file's bytes or as frames. Ends after `transferMs`: what it
 * reads may be deleted later than that.
 */
export async function* downloadBackup(
  store: BackupStore,
  request: DownloadBackupRequest,
  { caller, signal, log }: CallContext,
  transferMs = TRANSFER_MS,
): AsyncGenerator<DownloadBackupResponse | Uint8Array> {
  const endMs = performance.now() + transferMs;
  const name = parseDatabase(caller, request);
  const number = parseBackupNumber(request.number);
  const backups = openBackups(store, name, log);
  let backup: KeptBackup | undefined;
  try {
    backup = await findBackup(backups, number, signal);
    const { head } = backup;
    const offset = parseCount('offset_bytes', request.offsetBytes, head.sizeBytes);
    const part = { case: 'backup' as const, value: toBackup(backup) };
    yield create(DownloadBackupResponseSchema, { part });
    if (head.key && !request.frames) {
      throw failedPrecondition('SEALED', 'the backup is sealed: ask for frames, and open them');
    }
    if (request.frames) {
      for await (const frame of readFrames(store, backups.prefix, head, offset, signal)) {
        yield encodeFrame(frame);
        if (performance.now() > endMs) throw takesTooLong();
      }
      return;
    }
    for await (const data of readFile(store, backups.prefix, head, offset, signal)) {
      yield encodeBytesField(DATA.number, data);
      if (performance.now() > endMs) throw takesTooLong();
    }
  } catch (error) {
    if (backup && (await wasErased(error, backups, backup, signal))) throw backupNotFound();
    throw damageAsDataLoss(error);
  }
}

/** Whether what seems damaged was deleted meanwhile, with all of the database. */
async function wasErased(
  error: unknown,
  backups: Backups,
  { head }: KeptBackup,
  signal: AbortSignal,
): Promise<boolean> {
  return error instanceof DamageError && (await backups.head(head.number, signal)) === undefined;
}

/** The format's numbers of codecs are the proto's. */
function encodeFrame({ pages, positions, codec, data, unpackedBytes }: PagesFrame): Buffer {
  const value = create(FrameSchema, {
    pages: pages.map(BigInt),
    positions,
    codec: codec as FrameCodec,
    unpackedBytes,
  });
  const dataStart = startBytesField(FrameSchema.field.data.number, data.length);
  return encodeBytesField(FRAME.number, toBinary(FrameSchema, value), dataStart, data);
}
