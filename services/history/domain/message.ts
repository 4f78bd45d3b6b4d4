import { hash } from 'node:crypto';
import { create, toBinary } from '@bufbuild/protobuf';
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { SyncResponseSchema } from '../../../clients/gen/backscroll/history/v1/history_pb.ts';
import {
  ContentSchema,
  type Message,
  MessageSchema,
} from '../../../clients/gen/backscroll/history/v1/message_pb.ts';
import { MESSAGE_BYTES, MESSAGE_ID_BYTES } from '../limits.ts';
import type { Conversation, NewMessage } from '../store/model.ts';
import { checkContent } from './content.ts';
import { type At, checkBytes, checkName, type Faults } from './faults.ts';
import { isQuiet, kindsOf } from './kinds.ts';

/** Notes what is wrong with a message that a sender gave, its size apart. */
export function checkMessage(faults: Faults, at: At, message: Message): void {
  checkBytes(faults, () => `${at()}.id`, message.id, MESSAGE_ID_BYTES);
  if (message.sender !== '') checkName(faults, () => `${at()}.sender`, message.sender);
  if (message.expiresAtMs < 0n) {
    faults.add('INVALID_FIELD', `${at()}.expires_at_ms`, 'must be 0 or more');
  }
  if (message.content) checkContent(faults, () => `${at()}.content`, message.content);
}

/** Notes messages that are larger than one may be; what they weigh together is the caller's to hold. */
export function checkSizes(
  faults: Faults,
  at: (index: number) => string,
  messages: readonly NewMessage[],
): void {
  for (const [index, { body }] of messages.entries()) {
    if (body.length <= MESSAGE_BYTES) continue;
    const description = `must be at most ${MESSAGE_BYTES} bytes, encoded`;
    faults.add('TOO_LARGE', at(index), description);
  }
}

/** The bytes of all bodies together. */
export function bytesOf(messages: readonly NewMessage[]): number {
  return messages.reduce((bytes, { body }) => bytes + body.length, 0);
}

/**
 * Encodes messages of a conversation as they are stored and later sent: id, sender, content and times,
 * with nothing in them that nobody knows. The service's own fields are set behind these bytes when
 * they are read. Content is always there, be it empty: its absence tells of a deleted message.
 *
 * The times have no part in the hash: a message that was stored with the time of its arrival is the
 * same when it comes again with that time, as from an export.
 */
export function encodeMessages(
  messages: readonly Message[],
  conversation: Conversation,
): NewMessage[] {
  const contents = messages.map(({ content }) => content ?? NO_CONTENT);
  const given = messages.map(({ id, sender }, index) =>
    create(MessageSchema, { id, sender, content: contents[index]! }),
  );
  const bodies = encodeEach(given);
  return messages.map(({ id, sender, sentAtMs, expiresAtMs }, index) => {
    const content = contents[index]!;
    const kinds = kindsOf(conversation, sender, content);
    const untimed = bodies[index]!;
    const sent = withTime(untimed, MessageSchema.field.sentAtMs, sentAtMs);
    return {
      ...{ id, sender, sentAtMs, expiresAtMs, kinds },
      contentHash: hashOf(untimed),
      body: withTime(sent, MessageSchema.field.expiresAtMs, expiresAtMs),
      thread: content.thread,
      isQuiet: isQuiet(kinds),
    };
  });
}

const NO_CONTENT = create(ContentSchema);

/** A message that has no time yet, sent at `sentAtMs`. */
export function sentAt(message: NewMessage, sentAtMs: bigint): NewMessage {
  const body = withTime(message.body, MessageSchema.field.sentAtMs, sentAtMs);
  return { ...message, sentAtMs, body };
}

/** An encoded message with one more time in it; 0 is a field's default, and not written. */
function withTime(body: Buffer, { number }: { number: number }, timeMs: bigint): Buffer {
  if (timeMs === 0n) return body;
  const field = new BinaryWriter().tag(number, WireType.Varint).sint64(timeMs).finish();
  return Buffer.concat([body, field]);
}

/** Encodes all in one go, which takes a quarter of the time, and cuts the result at their borders. */
function encodeEach(messages: Message[]): Buffer[] {
  const together = toBinary(SyncResponseSchema, create(SyncResponseSchema, { messages }), {
    writeUnknownFields: false,
  });
  const reader = new BinaryReader(together);
  return messages.map(() => {
    reader.tag();
    const body = reader.bytes();
    return Buffer.from(body.buffer, body.byteOffset, body.length);
  });
}

/** Hexadecimal digits of 16 bytes. */
const HASH_DIGITS = 32;

function hashOf(body: Buffer): Buffer {
  return Buffer.from(hash('sha256', body, 'hex').slice(0, HASH_DIGITS), 'hex');
}
