import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  type Content,
  ContentSchema,
  type Message,
  MessageSchema,
} from '../../../clients/gen/backscroll/history/v1/message_pb.ts';
import type { StoredMessage } from '../store/model.ts';

/** A stored message as every reader gets it. */
export function decodeStored(stored: StoredMessage): Message {
  return create(MessageSchema, {
    ...fromBinary(MessageSchema, stored.body),
    seq: BigInt(stored.seq),
    editedAtMs: BigInt(stored.editedAtMs),
    deletedAtMs: BigInt(stored.deletedAtMs),
    revision: BigInt(stored.revision),
  });
}

/** What stands in a body; without content it is that of a tombstone. */
export type StoredFields = Pick<Message, 'id' | 'sender' | 'sentAtMs' | 'expiresAtMs' | 'content'>;

/** Encodes a message that is stored already, with other content than before. */
export function encodeStored({ id, sender, sentAtMs, expiresAtMs, content }: StoredFields): Buffer {
  const kept = { id, sender, sentAtMs, expiresAtMs };
  const message = create(MessageSchema, content ? { ...kept, content } : kept);
  return Buffer.from(toBinary(MessageSchema, message, { writeUnknownFields: false }));
}

/** Whether two messages say the same. */
export function sameContent(a: Content, b: Content): boolean {
  return encodeContent(a).equals(encodeContent(b));
}

function encodeContent(content: Content): Buffer {
  return Buffer.from(toBinary(ContentSchema, content, { writeUnknownFields: false }));
}
