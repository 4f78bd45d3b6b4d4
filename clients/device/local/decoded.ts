import { type DescMessage, fromBinary, type MessageShape } from '@bufbuild/protobuf';
import { damaged } from '../../backup/damaged.ts';

/** The message of the proto that stands as `bytes` in a database: DATABASE_DAMAGED where they are none. */
export function decoded<T extends DescMessage>(schema: T, bytes: Uint8Array): MessageShape<T> {
  try {
    return fromBinary(schema, bytes);
  } catch (error) {
    throw damaged('The local database', `a ${schema.name} can not be read: ${String(error)}`);
  }
}
