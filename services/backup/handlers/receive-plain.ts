import type { UploadBackupRequest } from '../../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import { invalidArgument } from '../../common/errors.ts';
import { PlainUpload } from '../domain/upload/plain-upload.ts';
import type {
  UploadContext,
  UploadDeclaration,
  UploadOutcome,
} from '../domain/upload/upload-context.ts';
import { DATA_PART_BYTES, PROGRESS_BYTES } from '../limits.ts';
import { type Answer, progressOf } from './upload-answers.ts';

/** Receives the rest of a plain upload, and commits it. */
export async function* receivePlain(
  parts: AsyncIterator<UploadBackupRequest>,
  declared: UploadDeclaration,
  context: UploadContext,
): AsyncGenerator<Answer, UploadOutcome> {
  await using upload = new PlainUpload(declared, context);
  let reportedBytes = 0;
  for (let part = await parts.next(); !part.done; part = await parts.next()) {
    await upload.take(parseData(part.value));
    if (upload.receivedBytes - reportedBytes < PROGRESS_BYTES) continue;
    reportedBytes = upload.receivedBytes;
    yield progressOf(upload);
  }
  return await upload.finish();
}

function parseData({ part }: UploadBackupRequest): Uint8Array {
  if (part.case !== 'data') {
    const field = part.case ?? 'part';
    throw invalidArgument(
      'OUT_OF_ORDER',
      field,
      'only data may follow the start of a plain upload',
    );
  }
  // A stream of nothing but these would go on for ever.
  if (part.value.length === 0) throw invalidArgument('INVALID_FIELD', 'data', 'must not be empty');
  if (part.value.length > DATA_PART_BYTES) {
    throw invalidArgument('TOO_LARGE', 'data', `must be at most ${DATA_PART_BYTES} bytes`);
  }
  return part.value;
}
