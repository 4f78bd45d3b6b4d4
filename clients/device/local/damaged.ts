import { type DescMessage, fromBinary, type MessageShape } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import { BackscrollError } from '../../errors.ts';

/** The error of what can't be what a device wrote: DATA_LOSS, reason DATABASE_DAMAGED. */
export function damaged(what: string, fault: string): BackscrollError {
  return new BackscrollError(`${what} is damaged: ${fault}`, {
    code: status.DATA_LOSS,
    reason: 'DATABASE_DAMAGED',
  });
}

/** The message of the proto that stands as `bytes` in a database: DATABASE_DAMAGED where they are none. */
export function decoded<T extends DescMessage>(schema: T, bytes: Uint8Array): MessageShape<T> {
  try {
    return fromBinary(schema, bytes);
  } catch (error) {
    throw damaged('The local database', `a ${schema.name} can not be read: ${String(error)}`);
  }
}
