import type { MessageInitShape } from '@bufbuild/protobuf';
import type { UploadBackupResponseSchema } from '../../../clients/gen/backscroll/backup/v1/backup_pb.ts';

/** What a message of the service in an upload holds. */
export type Answer = NonNullable<MessageInitShape<typeof UploadBackupResponseSchema>['part']>;

/** Tells how far an upload has come. */
export function progressOf(upload: { receivedBytes: number; storedBytes: number }): Answer {
  const { receivedBytes, storedBytes } = upload;
  const value = { receivedBytes: BigInt(receivedBytes), storedBytes: BigInt(storedBytes) };
  return { case: 'progress', value };
}
