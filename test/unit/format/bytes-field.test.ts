import { create, toBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { encodeBytesField } from '../../../clients/format/bytes-field.ts';
import { UploadBackupRequestSchema } from '../../../clients/gen/backscroll/backup/v1/backup_pb.ts';

describe('a message of one field of bytes', () => {
  it.each([0, 1, 127, 128, 16_384, 262_144, 1_048_576])('is encoded as any: %i bytes', (length) => {
    const value = Buffer.alloc(length, 'part ');
    const message = create(UploadBackupRequestSchema, { part: { case: 'data', value } });
    const expected = toBinary(UploadBackupRequestSchema, message);
    const field = UploadBackupRequestSchema.field.data.number;
    expect(encodeBytesField(field, value).equals(expected)).toBe(true);
  });
});
